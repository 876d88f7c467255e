"""A RouterOS router, the agent beside it and a collector, for end-to-end tests: everything real but the router (tests/rosim), all on the
loopback of a namespace, with a wire between agent and router that hears and cuts."""
import contextlib
import itertools
import os
import socket
import subprocess
import threading

from tests.e2e.devices import LoopbackCollector
from tests.lab.lab import wait_until
from tests.lab.programs import Cli, build_dir
from tests.rosim.laboratory import in_namespace, sh
from tests.rosim.test_api import HOST, Rosim, enter_namespace

FINAL = {"confirmed", "failed", "expired", "interrupted", "rolled-back"}


class Wire:
    """Between the agent and the router: hears what the agent says, and cuts where it is told to."""

    def __init__(self, namespace, port):
        self.namespace, self.port_behind, self.sent, self.heard, self.lock = namespace, port, b"", b"", threading.Lock()
        self.cut_before = self.cut_at = None  # bytes of the agent, which are not passed on; of the router
        self.is_cut, self.may_close = threading.Event(), threading.Event()
        self.may_close.set()
        self.listener = in_namespace(namespace, socket.create_server, (HOST, 0))
        self.port = self.listener.getsockname()[1]
        self.start(self.accept)

    def start(self, function, *args):
        threading.Thread(target=function, args=args, daemon=True).start()

    def accept(self):
        enter_namespace(self.namespace)
        while True:
            try:
                near = self.listener.accept()[0]
            except OSError:
                return  # closed
            try:
                far = socket.create_connection((HOST, self.port_behind))
            except OSError:
                near.close()
                continue
            self.start(self.pump, near, far, True)
            self.start(self.pump, far, near, False)

    def is_to_cut(self, data, is_agent):
        """Keeps what one side has said; once, whether that is where to cut."""
        with self.lock:  # there is a thread for each direction of each connection
            if is_agent:
                self.sent += data
            else:
                self.heard += data
            mark, text = (self.cut_before, self.sent) if is_agent else (self.cut_at, self.heard)
            if not mark or mark not in text:
                return False
            self.cut_before = self.cut_at = None
            return True

    def pump(self, source, target, is_agent):
        try:
            while data := source.recv(65536):
                if self.is_to_cut(data, is_agent):
                    self.is_cut.set()
                    self.may_close.wait(120)
                    break
                self.pass_on(target, data, is_agent)
        except OSError:
            pass  # the other half has closed it
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def pass_on(self, target, data, _is_agent):
        target.sendall(data)

    def has_backup(self):
        return b"/system backup save" in self.sent

    def end(self):
        self.may_close.set()
        self.listener.close()


class Site:
    """A router, the agent beside it and a collector, on the loopback of a namespace; `case` is what the test alone knows of."""

    numbers = itertools.count()
    make_wire = Wire
    options = ()  # of the router

    def __init__(self, directory, personality, case=None):
        self.dir, self.personality, self.case, self.process = directory, personality, case, None
        self.namespace = f"jaga-site{os.getpid()}-{next(Site.numbers)}"
        self.inside = ["ip", "netns", "exec", self.namespace]
        self.router = self.wire = self.collector = None
        sh("ip", "netns", "add", self.namespace)
        try:
            sh("ip", "-n", self.namespace, "link", "set", "lo", "up")
            self.lay()
        except BaseException:
            self.end()
            raise

    def lay(self):
        directory = self.dir
        self.control = directory / "control"
        self.router = Rosim(self.personality, "--control", str(self.control), *self.options, inside=self.namespace)
        self.wire = self.make_wire(self.namespace, self.router.port)
        self.collector = LoopbackCollector(directory).start(wrapper=self.inside)
        self.cli = Cli(self.collector)
        self.log = directory / "agent.log"
        (directory / "agent.key").write_text(self.collector.enroll("rtr1")["rtr1"])
        (directory / "agent.key").chmod(0o600)
        (directory / "password").write_text("secret\n")
        (directory / "agent.conf").write_text(
            f"[agent]\nidentity = rtr1\ncollector = 127.0.0.1:{self.collector.port}\nkey_file = {directory}/agent.key\n"
            f"state_dir = {directory}/state\nsocket = {directory}/agent.sock\nscripts = unsigned\n[router]\ndriver = routeros\n"
            f"address = {HOST}:{self.wire.port}\nuser = admin\npassword_file = {directory}/password\n")

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([*self.inside, build_dir() / "jaga-agent", "--debug", "--config", self.dir / "agent.conf"],
                                            stdout=log, stderr=log)
        self.cli.wait_online("rtr1")
        return self

    def stop(self, is_killed=False):
        (self.process.kill if is_killed else self.process.terminate)()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def end(self):
        with contextlib.ExitStack() as ends:  # each, whatever becomes of the others
            ends.callback(sh, "ip", "netns", "del", self.namespace)
            for one, end in ((self.router, "stop"), (self.wire, "end"), (self.collector, "end")):
                if one:
                    ends.callback(getattr(one, end))
            if self.process and self.process.poll() is None:
                ends.callback(self.stop)

    def queue(self, text, **more):
        """The number of the job."""
        return self.collector.ctl(op="push", device="rtr1", name="change.rsc", script=text, interpreter="routeros", **more)[0]["job"]

    def push(self, text, **more):
        return self.wait(self.queue(text, **more))

    def wait(self, job):
        """How it ended, when it has."""
        row = wait_until(lambda: (row := self.cli.rows("job", job)[0])["state"] in FINAL and row, 60, f"job {job} ends")
        return {"output": "", "reason": "", **row}

    def rows(self, *path):
        api = self.router.connect()
        try:
            return [dict(row) for row in api.path(*path)]
        finally:
            api.close()

    def export(self):
        """The configuration, to the byte, but for the line that tells the time."""
        api = self.router.connect()
        try:
            if self.personality == "6.49":
                list(api.rawCmd("/export", "=file=of-the-test"))
                file = [row for row in api.path("file") if row["name"] == "of-the-test.rsc"][0]
                api.path("file").remove(file[".id"])
                text = file["contents"]
            else:
                text = list(api.rawCmd("/execute", "=script=/export", "=as-string="))[0]["ret"]
            return [line for line in text.splitlines() if " by RouterOS " not in line]
        finally:
            api.close()

    def leftovers(self):
        """What a script must not leave at the router: files, variables, jobs. The snapshot that follows it is a job or a file for a moment."""
        wait_until(lambda: not self.rows("system", "script", "job"), 15, "the router has no job any more")
        return [row for path in (("file",), ("system", "script", "environment"), ("system", "script", "job"))
                for row in self.rows(*path) if not row.get("name", "").endswith("snapshot.rsc")]
