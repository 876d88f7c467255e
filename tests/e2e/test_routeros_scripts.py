"""Scripts of the collector on RouterOS: the real agent and collector, and a simulated router (tests/rosim).

What these tests say of RouterOS holds as far as tests/rosim/README.md does."""
import socket
import subprocess
import threading

import librouteros
import pytest

from tests.e2e.devices import LoopbackCollector
from tests.lab.lab import wait_until
from tests.lab.programs import Cli, build_dir
from tests.rosim.test_api import HOST, Rosim

PERSONALITIES = ("6.49", "7.16", "7.20")
TELLS_LINES = ("7.20",)  # the router itself names the line at which a command failed
FINAL = {"confirmed", "failed", "expired", "interrupted", "rolled-back"}
PIECE_BYTES = 60_000  # RouterOS takes no more in one go


class Wire:
    """Between the agent and the router: hears what the agent says, and cuts where it is told to."""

    def __init__(self, port):
        self.port_behind, self.sent, self.heard = port, b"", b""
        self.cut_before = self.cut_at = None  # bytes of the agent, which are not passed on; of the router
        self.is_cut, self.may_close = threading.Event(), threading.Event()
        self.may_close.set()
        self.listener = socket.create_server((HOST, 0))
        self.port = self.listener.getsockname()[1]
        self.start(self.accept)

    def start(self, function, *args):
        threading.Thread(target=function, args=args, daemon=True).start()

    def accept(self):
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

    def pump(self, source, target, is_agent):
        try:
            while data := source.recv(65536):
                self.sent, self.heard = (self.sent + data, self.heard) if is_agent else (self.sent, self.heard + data)
                mark, text = (self.cut_before, self.sent) if is_agent else (self.cut_at, self.heard)
                if mark and mark in text:
                    self.cut_before = self.cut_at = None
                    self.is_cut.set()
                    self.may_close.wait(60)
                    break
                target.sendall(data)
        except OSError:
            pass  # the other half has closed it
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def has_backup(self):
        return b"/system backup save" in self.sent

    def end(self):
        self.may_close.set()
        self.listener.close()


class Site:
    """A router, the agent beside it and a collector, all on loopback."""

    def __init__(self, directory, personality):
        self.dir, self.personality, self.process = directory, personality, None
        self.router = Rosim(personality)
        self.wire = Wire(self.router.port)
        self.collector = LoopbackCollector(directory).start()
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
            self.process = subprocess.Popen([build_dir() / "jaga-agent", "--debug", "--config", self.dir / "agent.conf"],
                                            stdout=log, stderr=log)
        self.cli.wait_online("rtr1")
        return self

    def stop(self, is_killed=False):
        (self.process.kill if is_killed else self.process.terminate)()
        self.process.wait(10)

    def end(self):
        if self.process and self.process.poll() is None:
            self.stop()
        self.collector.end()
        self.wire.end()
        self.router.stop()

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
        """What a script must not leave at the router: files, variables, jobs. The snapshot that follows it is a file for a moment on 6.49."""
        return [row for path in (("file",), ("system", "script", "environment"), ("system", "script", "job"))
                for row in self.rows(*path) if not row.get("name", "").endswith("snapshot.rsc")]


@pytest.fixture(params=PERSONALITIES)
def site(request, tmp_path):
    site = Site(tmp_path, request.param)
    try:
        yield site.start()
    finally:
        site.end()


def lines(count, bad=None):
    """A script of `count` lines; `bad` takes the place of line 250."""
    text = ["# a comment", "/ip firewall address-list"]
    text += [f"add address=198.51.{n // 250}.{n % 250} list=customers" for n in range(3, count + 1)]
    if bad:
        text[249] = bad
    return "\n".join(text) + "\n"


# --- scripts ------------------------------------------------------------------------------------------------

def test_a_script_is_carried_out(site):
    done = site.push(lines(496) + ':put "all of \\"it\\""\n:put [/system identity get name]\n')
    assert done["state"] == "confirmed", done
    assert done["output"].splitlines() == ['all of "it"', "MikroTik"]
    assert [row["address"] for row in site.rows("ip", "firewall", "address-list")] == [
        f"198.51.{n // 250}.{n % 250}" for n in range(3, 497)]
    assert site.leftovers() == []


def test_a_script_that_cannot_be_read_does_nothing(site):
    before = site.export()
    done = site.push(lines(496, bad="    add adress=198.51.100.1 list=customers"))
    assert (done["state"], done["output"]) == ("failed", "")
    assert done["reason"] == "line 250 column 9: expected end of command; nothing was done"
    assert site.export() == before and site.leftovers() == []


def test_the_line_that_failed_is_named(site):
    done = site.push(':put "begins"\n' + lines(496, bad="add address=198.51.0.3 list=customers").removeprefix("# a comment\n"))
    assert done["state"] == "failed" and done["output"].strip() == "begins"
    assert "line 250: failure: already have such entry" in done["reason"]
    assert len(site.rows("ip", "firewall", "address-list")) == 247  # what stood before it was done, as it says
    assert site.leftovers() == []


def test_a_line_within_a_block_is_named_as_well_as_the_router_can(site):
    done = site.push("# nothing\n:foreach name in={\"a\";\"a\"} do={\n  # once more\n  /interface bridge add name=$name\n}\n")
    assert f"line {4 if site.personality in TELLS_LINES else 2}: failure: already have" in done["reason"]


def test_a_long_script_is_carried_out_in_pieces(site):
    text = lines(4000)
    assert len(text) > 2 * PIECE_BYTES
    done = site.push(text + ':put "the end"\n')
    assert (done["state"], done["output"].strip()) == ("confirmed", "the end"), done["reason"]
    assert [row["address"] for row in site.rows("ip", "firewall", "address-list")] == [
        f"198.51.{n // 250}.{n % 250}" for n in range(3, 4001)]
    assert site.leftovers() == []


def test_a_long_script_is_read_before_any_of_it_is_done(site):
    before = site.export()
    done = site.push(lines(4000) + "add color=red\n")
    assert "line 4001 column 5: expected end of command; nothing was done" in done["reason"]
    assert site.export() == before and site.leftovers() == []
    done = site.push(lines(4000) + "add address=198.51.0.3 list=customers\n")
    assert "line 4001: failure: already have such entry" in done["reason"]
    assert site.leftovers() == []


def test_a_long_script_that_would_change_its_meaning_is_refused(site):
    before = site.export()
    done = site.push(':local name "customers"\n' + lines(4000))
    assert "line 1: " in done["reason"] and "where it is cut this variable is lost" in done["reason"]
    done = site.push("{\n" + lines(4000) + "}\n")
    assert "too long to be taken in one go" in done["reason"]
    done = site.push("{\n" + lines(4000))
    assert "a bracket or quote has no partner" in done["reason"]
    assert site.export() == before


def test_output_is_bounded_and_says_so(site):
    done = site.push(':for n from=1 to=4000 do={ :put "a line of twenty characters" }\n:put "the end"\n')
    assert done["state"] == "confirmed", done
    assert done["output_truncated"] is True
    if site.personality == "6.49":
        assert done["output"] == "(of 116007 bytes that it printed, the router hands out 0)\n"
    else:
        assert done["output_bytes"] == 64 * 1024
    assert site.leftovers() == []


@pytest.mark.parametrize("text", ["}\n", '"\n', ":put [\n", ":if (true) do={\n", "}; /system identity set name=x; {\n"])
def test_hostile_brackets_do_not_get_out(site, text):
    before = site.export()
    done = site.push(text)
    assert done["state"] == "failed" and "nothing was done" in done["reason"]
    assert site.export() == before and site.leftovers() == []


def test_a_router_that_reboots_within_the_script(site):
    done = site.push("/system identity set name=begun\n/system reboot\n/system identity set name=ended\n")
    assert done["state"] == "interrupted"
    assert "how far it came is not known: " in done["reason"]
    wait_until(lambda: "is connected again" in site.log.read_text(), 20, "the agent is back")
    assert site.rows("system", "identity")[0]["name"] == "begun"


def test_a_session_that_ends_meanwhile(site):
    job = site.queue(":delay 60s\n")
    wait_until(lambda: site.rows("system", "script", "job"), 10, "the script runs")
    site.router.stop()
    done = site.wait(job)
    assert done["state"] == "interrupted" and "how far it came is not known" in done["reason"]


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
    return site.leftovers() + site.rows("system", "scheduler")


def test_a_script_that_is_confirmed_stays(site):
    done = site.push("/system identity set name=kept\n", **SAVED)
    assert done["state"] == "confirmed", done
    assert site.rows("system", "identity")[0]["name"] == "kept"
    assert traces(site) == []


def test_a_script_that_fails_is_undone_to_the_byte(site):
    before = site.export()
    done = site.push(lines(496, bad="add address=198.51.0.3 list=customers"), **SAVED)
    assert done["state"] == "rolled-back" and "line 250: failure: already have such entry" in done["reason"], done
    wait_until(lambda: site.log.read_text().count("link: session open") >= 1, 20, "the agent is there")
    assert site.export() == before and traces(site) == []


def test_an_own_rollback_is_run_instead(site):
    done = site.push("/system identity set name=half\n:error wrong\n", rollback="/system identity set name=undone\n", **SAVED)
    assert done["state"] == "rolled-back", done
    assert site.rows("system", "identity")[0]["name"] == "undone" and traces(site) == []


def test_a_router_that_loses_power_goes_back(site):
    before = site.export()
    done = site.push("/system identity set name=half\n/system reboot\n", **SAVED)
    assert done["state"] == "rolled-back", done
    assert site.export() == before and traces(site) == []


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


def test_without_room_for_a_backup_nothing_is_run(site):
    api = site.router.connect()
    for number in range(140):  # all of 8 MB but 600 bytes
        list(api.rawCmd("/execute", f"=script=:put \"{'x' * (60000 if number < 139 else 48000)}\"", f"=file=ballast{number}"))
    wait_until(lambda: len(site.rows("file")) >= 140, 20, "the flash is full")
    done = site.push(NOT_SMALL, **SAVED)
    assert done["state"] == "failed" and done["reason"].startswith("not run, no way back: "), done
    assert "not enough space left on device" in done["reason"]
    assert site.rows("system", "identity")[0]["name"] == "MikroTik" and site.rows("system", "scheduler") == []


def test_where_the_scheduler_is_forbidden_nothing_is_run(site):
    if site.personality != "7.20":
        return  # device-mode begins with 7.17
    before = site.export()
    list(site.router.connect().rawCmd("/system/device-mode/update", "=mode=home"))
    done = site.push(NOT_SMALL, **SAVED)
    assert done["state"] == "failed" and "device-mode forbids the scheduler" in done["reason"], done
    assert site.export() == before and traces(site) == []


# --- safe mode ----------------------------------------------------------------------------------------------

SMALL = "/system identity set name=x\n/ip address\nadd address=192.0.2.1/24 interface=ether1\n:put reached\n"


@pytest.fixture
def safe_site(tmp_path):
    site = Site(tmp_path, "7.20")
    try:
        yield site.start()
    finally:
        site.end()


def is_changed(site):
    return site.rows("system", "identity")[0]["name"] == "x" and len(site.rows("ip", "address")) == 1


def is_uptime_kept(site, script):
    """Whether the router has gone through the script without a reboot: what it holds in memory is still there."""
    list(site.router.connect().rawCmd("/execute", "=script=:global ofTheTest 1", "=as-string="))
    done = script()
    kept = [row["name"] for row in site.rows("system", "script", "environment")] == ["ofTheTest"]
    api = site.router.connect()
    for row in site.rows("system", "script", "environment"):
        list(api.rawCmd("/system/script/environment/remove", f"=.id={row['.id']}"))
    return done, kept


def test_safe_a_small_script_stays_without_a_backup(safe_site):
    done = safe_site.push(SMALL, **SAVED)
    assert (done["state"], done["output"].strip()) == ("confirmed", "reached"), done
    assert is_changed(safe_site) and traces(safe_site) == []
    assert b"/safe-mode/release" in safe_site.wire.sent and not safe_site.wire.has_backup()
    list(safe_site.router.connect().rawCmd("/safe-mode/take"))  # nobody holds it any more


def test_safe_a_small_script_that_fails_is_undone_to_the_byte(safe_site):
    before = safe_site.export()
    done, is_kept = is_uptime_kept(safe_site, lambda: safe_site.push(SMALL + ":error wrong\n", **SAVED))
    assert done["state"] == "rolled-back" and "line 5: wrong" in done["reason"], done
    assert is_kept and safe_site.export() == before and traces(safe_site) == []
    assert b"/safe-mode/unroll" in safe_site.wire.sent and not safe_site.wire.has_backup()


def test_safe_a_small_script_that_cuts_the_session_is_undone(safe_site):
    before = safe_site.export()
    safe_site.wire.cut_at = b"reached"
    done = safe_site.push(SMALL, **SAVED)
    assert safe_site.wire.is_cut.is_set() and done["state"] == "rolled-back", done
    assert safe_site.export() == before and traces(safe_site) == [] and not safe_site.wire.has_backup()
    assert safe_site.push(SMALL, **SAVED)["state"] == "confirmed" and is_changed(safe_site)


@pytest.mark.parametrize("text", [lines(60), lines(10) + ":for i from=1 to=2 do={ :put $i }\n", lines(5) + "remove [find]\n"],
                         ids=["lines", "loop", "find"])
def test_safe_mode_is_not_for_what_may_be_more(safe_site, text):
    done = safe_site.push(text, **SAVED)
    assert done["state"] == "confirmed", done
    assert safe_site.wire.has_backup() and b"/safe-mode" not in safe_site.wire.sent and traces(safe_site) == []


def test_safe_mode_of_another_means_a_backup(safe_site):
    person = safe_site.router.connect()
    list(person.rawCmd("/safe-mode/take"))
    done = safe_site.push(SMALL, **SAVED)
    assert done["state"] == "confirmed", done
    assert safe_site.wire.has_backup() and "no safe mode, so a backup" in safe_site.log.read_text() and traces(safe_site) == []
    list(person.rawCmd("/safe-mode/release"))
    assert is_changed(safe_site)


def test_safe_mode_waits_until_the_lost_session_is_noticed(safe_site):
    """Killed when it was applied; the router believes in its session for a while."""
    before = safe_site.export()
    safe_site.wire.cut_before = b" releasing"
    safe_site.wire.may_close.clear()
    job = safe_site.queue(SMALL, **SAVED)
    assert safe_site.wire.is_cut.wait(20)
    assert "applied, asking for its confirmation" in safe_site.log.read_text()
    safe_site.stop(is_killed=True)
    assert is_changed(safe_site)
    safe_site.start()
    wait_until(lambda: safe_site.wire.sent.count(b"/safe-mode/take") >= 3, 20, "the agent asks again whether it is held")
    assert safe_site.cli.rows("job", job)[0]["state"] not in FINAL and is_changed(safe_site)
    safe_site.wire.may_close.set()
    done = safe_site.wait(job)
    assert done["state"] == "rolled-back", done
    assert safe_site.export() == before and traces(safe_site) == []


@pytest.mark.parametrize("is_killed", [False, True])
def test_safe_mode_that_may_have_been_released_is_told_so(safe_site, is_killed):
    safe_site.wire.cut_before = b"/safe-mode/release"
    if is_killed:
        safe_site.wire.may_close.clear()
    job = safe_site.queue(SMALL, **SAVED)
    assert safe_site.wire.is_cut.wait(20)
    if is_killed:
        safe_site.stop(is_killed=True)
        safe_site.wire.may_close.set()
        safe_site.start()
    done = safe_site.wait(job)
    assert done["state"] == "failed" and "while safe mode was being released" in done["reason"], done
    assert traces(safe_site) == []


def test_safe_mode_and_a_reboot_is_told_so(safe_site):
    safe_site.wire.cut_before = b" releasing"
    safe_site.wire.may_close.clear()
    job = safe_site.queue(SMALL, **SAVED)
    assert safe_site.wire.is_cut.wait(20)
    try:
        list(safe_site.router.connect().rawCmd("/system/reboot"))
    except (librouteros.exceptions.LibRouterosError, OSError):
        pass  # the session ends with it
    safe_site.wire.may_close.set()
    done = safe_site.wait(job)
    assert done["state"] == "failed" and "rebooted" in done["reason"], done


def test_safe_mode_where_the_scheduler_is_forbidden(safe_site):
    list(safe_site.router.connect().rawCmd("/system/device-mode/update", "=mode=home"))
    before = safe_site.export()
    done = safe_site.push(SMALL + ":error wrong\n", **SAVED)
    assert done["state"] == "rolled-back" and safe_site.export() == before, done
    done = safe_site.push(SMALL, **SAVED)
    assert done["state"] == "confirmed" and is_changed(safe_site) and not safe_site.wire.has_backup(), done
