"""Scripts of the collector on RouterOS: the real agent and collector, and a simulated router (tests/rosim).

What these tests say of RouterOS holds as far as tests/rosim/README.md does."""
import contextlib
import itertools
import os
import socket
import subprocess
import threading

from tests.e2e.devices import LoopbackCollector
from tests.e2e.side_by_side import SideBySide
from tests.lab.lab import wait_until
from tests.lab.programs import Cli, build_dir
from tests.rosim.laboratory import in_namespace, sh
from tests.rosim.test_api import HOST, Rosim, enter_namespace

PERSONALITIES = ("6.49", "7.16", "7.20")
TELLS_LINES = ("7.20",)  # the router itself names the line at which a command failed
FINAL = {"confirmed", "failed", "expired", "interrupted", "rolled-back"}
PIECE_BYTES = 60_000  # RouterOS takes no more in one go


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
        self.process.wait(60)

    def end(self):
        if self.process and self.process.poll() is None:
            self.stop()
        if self.collector:
            self.collector.end()
        if self.wire:
            self.wire.end()
        if self.router:
            self.router.stop()
        sh("ip", "netns", "del", self.namespace)

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


@contextlib.contextmanager
def make(folder, value):
    """value: a personality, or one and a case."""
    site = Site(folder, *([value] if isinstance(value, str) else value))
    try:
        yield site.start()
    finally:
        site.end()


side_by_side = SideBySide(make)
each = side_by_side(*PERSONALITIES)


def in_each_case(cases, *personalities):
    """cases: {id: case}"""
    values = {f"{name}-{personality}": (personality, case) for name, case in cases.items() for personality in personalities}
    return side_by_side(*values.values(), ids=values.keys())


def lines(count, bad=None, comment=""):
    """A script of `count` lines; `bad` takes the place of line 250."""
    rest = f'list=customers comment="{comment}"' if comment else "list=customers"
    text = ["# a comment", "/ip firewall address-list"]
    text += [f"add address=198.51.{n // 250}.{n % 250} {rest}" for n in range(3, count + 1)]
    if bad:
        text[249] = bad
    return "\n".join(text) + "\n"


LONG = lines(250, comment="a comment as long as few people write them, " * 6)
assert len(LONG) > PIECE_BYTES

# --- scripts ------------------------------------------------------------------------------------------------

@each
def test_a_script_is_carried_out(site):
    done = site.push(lines(496) + ':put "all of \\"it\\""\n:put [/system identity get name]\n')
    assert done["state"] == "confirmed", done
    assert done["output"].splitlines() == ['all of "it"', "MikroTik"]
    assert [row["address"] for row in site.rows("ip", "firewall", "address-list")] == [
        f"198.51.{n // 250}.{n % 250}" for n in range(3, 497)]
    assert site.leftovers() == []


@each
def test_a_script_that_cannot_be_read_does_nothing(site):
    before = site.export()
    done = site.push(lines(496, bad="    add adress=198.51.100.1 list=customers"))
    assert (done["state"], done["output"]) == ("failed", "")
    assert done["reason"] == "line 250 column 9: expected end of command; nothing was done"
    assert site.export() == before and site.leftovers() == []


@each
def test_the_line_that_failed_is_named(site):
    done = site.push(':put "begins"\n' + lines(496, bad="add address=198.51.0.3 list=customers").removeprefix("# a comment\n"))
    assert done["state"] == "failed" and done["output"].strip() == "begins"
    assert "line 250: failure: already have such entry" in done["reason"]
    assert len(site.rows("ip", "firewall", "address-list")) == 247  # what stood before it was done, as it says
    assert site.leftovers() == []


@each
def test_a_line_within_a_block_is_named_as_well_as_the_router_can(site):
    done = site.push("# nothing\n:foreach name in={\"a\";\"a\"} do={\n  # once more\n  /interface bridge add name=$name\n}\n")
    assert f"line {4 if site.personality in TELLS_LINES else 2}: failure: already have" in done["reason"]


@each
def test_a_long_script_is_carried_out_in_pieces(site):
    text = lines(500, comment="a comment as long as few people write them, " * 6)
    assert len(text) > 2 * PIECE_BYTES
    done = site.push(text + ':put "the end"\n')
    assert (done["state"], done["output"].strip()) == ("confirmed", "the end"), done["reason"]
    assert [row["address"] for row in site.rows("ip", "firewall", "address-list")] == [
        f"198.51.{n // 250}.{n % 250}" for n in range(3, 501)]
    assert site.leftovers() == []


@each
def test_a_long_script_is_read_before_any_of_it_is_done(site):
    before = site.export()
    done = site.push(LONG + "add color=red\n")
    assert "line 251 column 5: expected end of command; nothing was done" in done["reason"]
    assert site.export() == before and site.leftovers() == []
    done = site.push(LONG + "add address=198.51.0.3 list=customers\n")
    assert "line 251: failure: already have such entry" in done["reason"]
    assert site.leftovers() == []


@each
def test_a_long_script_that_would_change_its_meaning_is_refused(site):
    before = site.export()
    done = site.push(':local name "customers"\n' + LONG)
    assert "line 1: " in done["reason"] and "where it is cut this variable is lost" in done["reason"]
    done = site.push("{\n" + LONG + "}\n")
    assert "too long to be taken in one go" in done["reason"]
    done = site.push("{\n" + LONG)
    assert "a bracket or quote has no partner" in done["reason"]
    assert site.export() == before


@each
def test_output_is_bounded_and_says_so(site):
    done = site.push(':for n from=1 to=4000 do={ :put "a line of twenty characters" }\n:put "the end"\n')
    assert done["state"] == "confirmed", done
    assert done["output_truncated"] is True
    if site.personality == "6.49":
        assert done["output"] == "(of 116007 bytes that it printed, the router hands out 0)\n"
    else:
        assert done["output_bytes"] == 64 * 1024
    assert site.leftovers() == []


@in_each_case({"brace": "}\n", "quote": '"\n', "bracket": ":put [\n", "open": ":if (true) do={\n", "around": "}; /system identity set name=x; {\n"},
              *PERSONALITIES)
def test_hostile_brackets_do_not_get_out(site):
    before = site.export()
    done = site.push(site.case)
    assert done["state"] == "failed" and "nothing was done" in done["reason"]
    assert site.export() == before and site.leftovers() == []


@each
def test_a_router_that_reboots_within_the_script(site):
    done = site.push("/system identity set name=begun\n/system reboot\n/system identity set name=ended\n")
    assert done["state"] == "interrupted"
    assert "how far it came is not known: " in done["reason"]
    wait_until(lambda: "is connected again" in site.log.read_text(), 20, "the agent is back")
    assert site.rows("system", "identity")[0]["name"] == "begun"


@each
def test_a_session_that_ends_meanwhile(site):
    job = site.queue(":delay 60s\n")
    wait_until(lambda: site.rows("system", "script", "job"), 10, "the script runs")
    site.router.stop()
    done = site.wait(job)
    assert done["state"] == "interrupted" and "how far it came is not known" in done["reason"]


@each
def test_secrets_stay_out_of_the_log(site):
    done = site.push("/ppp secret add name=x password=Geheim77\n/ppp secret add name=y passwort=Geheim77\n")
    assert done["state"] == "failed" and "nothing was done" in done["reason"] and "Geheim77" not in done["reason"]
    assert site.push("/ppp secret add name=x password=Geheim77\n")["state"] == "confirmed"
    assert "Geheim77" not in site.log.read_text() and "Geheim77" not in site.collector.read_log()


# --- the way back -------------------------------------------------------------------------------------------

SAVED = {"confirm_s": 30}
NOT_SMALL = ":if (true) do={ /system identity set name=x }\n"  # what safe mode is not trusted with


def traces(site):
    """What the way back must not leave at the router."""
    return site.leftovers() + site.rows("system", "scheduler") + site.rows("system", "script")


@each
def test_a_script_that_is_confirmed_stays(site):
    done = site.push("/system identity set name=kept\n", **SAVED)
    assert done["state"] == "confirmed", done
    assert site.rows("system", "identity")[0]["name"] == "kept"
    assert traces(site) == []


@each
def test_a_script_that_fails_is_undone_to_the_byte(site):
    before = site.export()
    done = site.push(lines(496, bad="add address=198.51.0.3 list=customers"), **SAVED)
    assert done["state"] == "rolled-back" and "line 250: failure: already have such entry" in done["reason"], done
    wait_until(lambda: site.log.read_text().count("link: session open") >= 1, 20, "the agent is there")
    assert site.export() == before and traces(site) == []


@each
def test_an_own_rollback_is_run_instead(site):
    done = site.push("/system identity set name=half\n:error wrong\n", rollback="/system identity set name=undone\n", **SAVED)
    assert done["state"] == "rolled-back", done
    assert site.rows("system", "identity")[0]["name"] == "undone" and traces(site) == []


@each
def test_a_router_that_loses_power_goes_back(site):
    before = site.export()
    done = site.push("/system identity set name=half\n/system reboot\n", **SAVED)
    assert done["state"] == "rolled-back", done
    assert site.export() == before and traces(site) == []


@each
def test_an_agent_that_is_killed_meanwhile_goes_back(site):
    before = site.export()
    job = site.queue("/system identity set name=half\n:delay 60s\n", **SAVED)
    wait_until(lambda: site.rows("system", "identity")[0]["name"] == "half", 20, "the script is half done")
    site.stop(is_killed=True)
    site.start()
    done = site.wait(job)
    assert done["state"] == "rolled-back", done
    output = [".txt"] if site.personality == "6.49" else []  # of the script that nobody waited for: it stays
    assert site.export() == before and [row["name"][-4:] for row in traces(site)] == output


@each
def test_without_room_for_a_backup_nothing_is_run(site):
    api = site.router.connect()
    for number in range(140):  # all of 8 MB but 600 bytes
        list(api.rawCmd("/execute", f"=script=:put \"{'x' * (60000 if number < 139 else 48000)}\"", f"=file=ballast{number}"))
    wait_until(lambda: len(site.rows("file")) >= 140, 20, "the flash is full")
    done = site.push(NOT_SMALL, **SAVED)
    assert done["state"] == "failed" and done["reason"].startswith("not run, no way back: "), done
    assert "not enough space left on device" in done["reason"]
    assert site.rows("system", "identity")[0]["name"] == "MikroTik" and site.rows("system", "scheduler") == []


@each
def test_where_the_scheduler_is_forbidden_nothing_is_run(site):
    if site.personality != "7.20":
        return  # device-mode begins with 7.17
    before = site.export()
    list(site.router.connect().rawCmd("/system/device-mode/update", "=mode=home"))
    done = site.push(NOT_SMALL, **SAVED)
    assert done["state"] == "failed" and "device-mode forbids the scheduler" in done["reason"], done
    assert site.export() == before and traces(site) == []
