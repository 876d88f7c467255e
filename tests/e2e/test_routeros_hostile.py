"""Routers that are broken or hostile, and what is between them and the agent: a clear error that names router and cause,
bounded memory, a pause that grows, an agent that goes on answering, and a session again when all is well.

A simulated router answers properly; a relay before it plays the other one. Agent, relay and router share a network namespace."""
import contextlib
import itertools
import os
import re
import select
import socket
import subprocess
import threading
import time

from tests.e2e.side_by_side import SideBySide
from tests.lab.programs import build_dir
from tests.rosim import wire
from tests.rosim.laboratory import in_namespace, sh, wait_for
from tests.rosim.test_api import HOST, Rosim

PORT = 8728
# What the agent may grow by while a router does its worst. Sanitizers keep what was freed.
GROWTH_KB = 100_000 if "asan" in str(build_dir()) else 1_000
ANSWER_S = 8  # at its own socket, on a busy machine; a router has ten to answer the agent


# --- the router's other self ----------------------------------------------------------------------

class Relay:
    """Passes on what agent and router say until `evil` is set; that is then called with the agent's socket for every
    connection there is, or comes, and whatever the router says is dropped. It ends when the agent hangs up."""

    def __init__(self, namespace, router_port):
        self.namespace, self.router_port, self.evil, self.accepted = namespace, router_port, None, []
        self.listener = None
        self.listen()

    def listen(self):
        self.listener = in_namespace(self.namespace, socket.create_server, (HOST, PORT))
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()

    def refuse(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def accept(self, listener):
        while True:
            try:
                agent, _ = listener.accept()
            except OSError:
                return
            self.accepted.append(time.monotonic())
            threading.Thread(target=self.serve, args=(agent,), daemon=True).start()

    def serve(self, agent):
        with agent:
            try:
                if self.evil is None:
                    self.pass_on(agent)
                if self.evil is not None:
                    self.evil(self, agent)
                    while agent.recv(65536):  # until the agent has had enough
                        pass
            except OSError:
                pass

    def pass_on(self, agent):
        router = in_namespace(self.namespace, socket.create_connection, (HOST, self.router_port))
        with router:
            while self.evil is None:
                for source in select.select([agent, router], [], [], 0.02)[0]:
                    data = source.recv(65536)
                    if not data:
                        return
                    (router if source is agent else agent).sendall(data)


def says(data):
    """At once, whatever was asked."""
    return lambda relay, agent: agent.sendall(data)


def next_command(agent):
    """The tag of the next one that has a deadline: a listen has none."""
    asked = b""
    while True:
        for path, tag in re.findall(rb"(/[a-z/-]+).*?\.tag=(\d+)", asked, re.S):
            if not path.endswith(b"/listen"):
                return tag.decode()
        data = agent.recv(65536)
        if not data:
            raise ConnectionError
        asked += data


def answer(tag, *sentences):
    return b"".join(wire.encode_sentence([word.replace("#", tag) for word in sentence]) for sentence in sentences)


def says_when_asked(*sentences):
    """# in them is the command's tag."""
    return lambda relay, agent: agent.sendall(answer(next_command(agent), *sentences))


def says_for_ever(data):
    def play(_, agent):
        while True:
            agent.sendall(data * (60_000 // len(data)))
    return play


def answers_for_ever(_, agent):
    says_for_ever(answer(next_command(agent), ["!re", ".tag=#", "=name=x"]))(None, agent)


def drips(_, agent):
    """The answer, a byte a second."""
    for byte in answer(next_command(agent), ["!re", ".tag=#", "=name=" + 100 * "x"]):
        agent.sendall(bytes([byte]))
        time.sleep(1)  # what this router does, not what the test waits for


# --- the agent ------------------------------------------------------------------------------------

class Agent:
    def __init__(self, namespace, folder, *router_lines, password="secret"):
        self.folder, self.socket = folder, folder / "agent.sock"
        (folder / "password").write_text(password + "\n")
        uplinks = "".join(f"[uplink isp{n}]\ninterface = ether{n}\nsource = 127.0.1.{n}\ntargets = 127.0.9.{n}\n" for n in (1, 2))
        (folder / "agent.conf").write_text(
            f"[agent]\nstate_dir = {folder}/state\nsocket = {self.socket}\n[router]\ndriver = routeros\naddress = {HOST}:{PORT}\n"
            f"user = admin\npassword_file = {folder}/password\n" + "".join(line + "\n" for line in router_lines) +
            f"[lan]\ninterfaces = ether3\n{uplinks}")
        with open(folder / "agent.log", "ab") as log:
            self.process = subprocess.Popen(["ip", "netns", "exec", namespace, build_dir() / "jaga-agent", "--config",
                                             folder / "agent.conf", "--debug"], stdout=log, stderr=log)

    def log(self):
        return (self.folder / "agent.log").read_text(errors="replace")

    def errors(self):
        """What it told a person about the router, without the address that each must begin with."""
        return re.findall(rf"error router: router {HOST}:{PORT}: (.*)", self.log())

    def pauses(self):
        """Seconds that it meant to wait before each new try."""
        return [int(ms) / 1000 for ms in re.findall(r"trying again in_ms=(\d+)", self.log())]

    def ask(self):
        began = time.monotonic()
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(ANSWER_S)
            client.connect(str(self.socket))
            client.sendall(b"kv status\n")
            answer = b""
            while chunk := client.recv(65536):
                answer += chunk
        assert answer.startswith(b"0\n") and time.monotonic() - began < ANSWER_S, answer[:100]

    def memory_kb(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            return int(re.search(r"VmHWM:\s+(\d+)", status.read()).group(1))

    def wait_until(self, what, condition, timeout_s):
        """Asks it all the while."""
        def is_so():
            self.ask()
            return condition()
        wait_for(what, is_so, timeout_s)

    def stop(self):
        self.process.terminate()
        assert self.process.wait(60) == 0, self.log()[-2000:]


class Scene:
    """A namespace with a router and a relay before it, for one agent."""

    numbers = itertools.count()

    def __init__(self, folder, case):
        self.folder, self.case, self.namespace = folder, case, f"jaga-hostile{os.getpid()}-{next(Scene.numbers)}"
        self.rosim = self.relay = self.agent = None
        sh("ip", "netns", "add", self.namespace)
        try:
            sh("ip", "-n", self.namespace, "link", "set", "lo", "up")
            self.rosim = Rosim("7.20", inside=self.namespace)
            self.relay = Relay(self.namespace, self.rosim.port)
        except BaseException:
            self.close()
            raise

    def start(self, *router_lines, **options):
        self.agent = Agent(self.namespace, self.folder, *router_lines, **options)
        return self.agent

    def start_well(self):
        """(agent, relay): the agent has taken over."""
        agent = self.start()
        wait_for("the agent started", lambda: "agent: started" in agent.log() or agent.process.poll() is not None)
        assert agent.process.poll() is None, agent.log()
        return agent, self.relay

    def close(self):
        try:
            if self.agent:
                self.agent.stop()
        finally:
            if self.relay:
                self.relay.evil = None
                self.relay.refuse()
            if self.rosim:
                self.rosim.stop()
            sh("ip", "netns", "del", self.namespace)


side_by_side = SideBySide(lambda folder, case: contextlib.closing(Scene(folder, case)))
alone = side_by_side(None, ids=[""])

WITHIN_S = 45  # a round (10 s), a deadline (10 s), and the machine


@side_by_side(*[
    (says(b"\xf0\xff\xff\xff\xff"), "the API announces a word of 4294967295 bytes"),
    (says(b"\x03!re\xf0\xff\xff\xff\xff"), "the API announces a word of 4294967295 bytes"),
    (says(b"\xf8"), "the API sends the reserved length byte 0xf8; is that port the API's?"),
    (says(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 9), "the API answers with a word that is no reply; is that port the API's?"),
    (says(wire.encode_sentence(["!done", ".tag=4000000"])), "the router answers a command that was not sent"),
    (says(wire.encode_sentence(["!re", ".tag=0"])), "the API answers to a tag that was never used"),
    (says(wire.encode_sentence(["!fatal", "too many\nsessions\x1b[2J"])), "the router ended the session: too many?sessions?[2J"),
    (says_when_asked(["!done", ".tag=#"], ["!done", ".tag=#"]), "the router answers a command that was not sent"),
    (says_when_asked(["!re", ".tag=#", "=name=a"], ["!fatal", "going down"]), "the router ended the session: going down"),
    (says_for_ever(b"\x04=a=b"), "the API answers with a word that is no reply"),
    (lambda relay, agent: (agent.sendall(b"\x03!re"), says_for_ever(b"\x04=a=b")(relay, agent)),
     "the API sends a sentence of more than 64 words"),
    (lambda relay, agent: agent.shutdown(socket.SHUT_RDWR), "the router closed the connection"),
], ids=["4GB", "4GB-attribute", "reserved", "http", "stranger", "tag-0", "fatal", "done-twice", "fatal-within", "no-reply",
        "endless-sentence", "hangs-up"])
def test_a_lie_ends_the_session(scene):
    (agent, relay), (evil, cause) = scene.start_well(), scene.case
    before_kb = agent.memory_kb()
    relay.evil = evil
    agent.wait_until("it says why", lambda: any(cause in said for said in agent.errors()), WITHIN_S)
    assert agent.memory_kb() - before_kb < GROWTH_KB
    relay.evil = None
    agent.wait_until("it is connected again", lambda: "is connected again" in agent.log(), WITHIN_S)


@side_by_side(answers_for_ever, drips, lambda relay, agent: None, ids=["endless-answer", "byte-a-second", "silence"])
def test_an_answer_has_its_time(scene):
    agent, relay = scene.start_well()
    before_kb = agent.memory_kb()
    relay.evil = scene.case
    agent.wait_until("it says why", lambda: any(re.search("no whole answer to /.* in time", said) for said in agent.errors()), 90)
    assert agent.memory_kb() - before_kb < GROWTH_KB
    relay.evil = None
    agent.wait_until("it is connected again", lambda: "is connected again" in agent.log(), WITHIN_S)


@alone
def test_a_half_open_session_is_noticed(scene):
    agent, _ = scene.start_well()
    nft = ["ip", "netns", "exec", scene.namespace, "nft"]
    sh(*nft, "add table ip broken; add chain ip broken arriving { type filter hook input priority 0; }; "
       f"add rule ip broken arriving tcp sport {PORT} drop")
    agent.wait_until("it says so", lambda: any("no whole answer to /" in said for said in agent.errors()), WITHIN_S)
    # Another cause, and so another line: the new session cannot be had.
    agent.wait_until("it says more", lambda: any("connect: Connection timed out" in said for said in agent.errors()), WITHIN_S)
    sh(*nft, "delete table ip broken")
    agent.wait_until("it is connected again", lambda: "is connected again" in agent.log(), WITHIN_S)


@alone
def test_a_service_that_is_off(scene):
    agent, relay = scene.start_well()
    relay.refuse()
    relay.evil = lambda relay, agent: agent.shutdown(socket.SHUT_RDWR)
    agent.wait_until("it says why", lambda: any("connect: Connection refused" in said for said in agent.errors()), WITHIN_S)
    relay.evil = None
    relay.listen()
    agent.wait_until("it is connected again", lambda: "is connected again" in agent.log(), WITHIN_S)


@alone
def test_the_pause_grows(scene):
    """Also when each session begins well: a login that is let in and then cut off is no success."""
    agent, relay = scene.start_well()
    relay.evil = lambda relay, agent: agent.shutdown(socket.SHUT_RDWR)
    first = len(relay.accepted)
    agent.wait_until("four tries", lambda: len(relay.accepted) >= first + 4, 60)
    assert agent.pauses()[:4] == [1, 2, 4, 8]
    assert len(agent.errors()) <= 2  # the same trouble is told once


@alone
def test_a_wrong_password_is_told_and_tried_again_slowly(scene):
    agent, relay = scene.start(password="wrong"), scene.relay
    wait_for("it says why", lambda: any("/login: invalid user name or password" in said for said in agent.errors()))
    agent.wait_until("three tries more", lambda: len(relay.accepted) >= 4, WITHIN_S)
    assert agent.pauses()[:3] == [1, 2, 4]
    assert len(agent.errors()) == 1 and "wrong" not in agent.log()


# --- with TLS -------------------------------------------------------------------------------------

HANDSHAKE_FAILURE = b"\x15\x03\x03\x00\x02\x02\x28"
WARNING = b"\x15\x03\x03\x00\x02\x01\x5a"  # user_canceled, as often as one likes


@side_by_side(*[
    (says(b"\x00\xff" * 4000), "what answers does not speak TLS; is that port api-ssl's (8729)?"),
    (says(b"\x16\x03\x03\xff\xff" + b"x" * 70000), "what answers does not speak TLS; is that port api-ssl's (8729)?"),
    (says(HANDSHAKE_FAILURE), "it refuses TLS: has api-ssl a certificate? /certificate add"),
    (lambda relay, agent: agent.shutdown(socket.SHUT_RDWR), "it ends the handshake: has api-ssl a certificate? "),
    (lambda relay, agent: None, "the TLS handshake does not end"),
    (lambda relay, agent: [agent.sendall(WARNING[i:i + 1]) or time.sleep(1) for i in range(7)], "the TLS handshake does not end"),
    (says_for_ever(WARNING), ""),
], ids=["garbage", "huge-record", "alert", "hangs-up", "stall", "byte-a-second", "warnings"])
def test_tls(scene):
    relay, (evil, cause) = scene.relay, scene.case
    relay.evil = evil
    agent = scene.start("tls = pinned", f"pin = {'0' * 64}")
    wait_for("it can be asked", lambda: agent.socket.exists())
    before_kb = agent.memory_kb()
    agent.wait_until("it says why", lambda: any(cause in said for said in agent.errors()), WITHIN_S)
    agent.wait_until("it tries again", lambda: len(relay.accepted) >= 2, WITHIN_S)
    assert agent.memory_kb() - before_kb < GROWTH_KB
