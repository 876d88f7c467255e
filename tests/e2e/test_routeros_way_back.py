"""The way back of scripts on RouterOS (docs/way-back.md): the backup that is always there, and safe mode on top of it where the router
has that. What both versions share is in test_routeros_scripts.py.

What these tests say of RouterOS holds as far as tests/rosim/README.md does. Its clock is moved on, so that nobody waits for it."""
import contextlib
import signal
import threading

import librouteros
import pytest

from tests.e2e.ros_site import FINAL, Site, Wire
from tests.e2e.side_by_side import SideBySide
from tests.e2e.test_routeros_scripts import NOT_SMALL, SAVED, lines, traces
from tests.lab.lab import wait_until
from tests.rosim.control import control
from tests.rosim.test_api import HOST
from tests.rosim.values import seconds

GO_BACK = "jaga: go back now"
SMALL = "/system identity set name=x\n/ip address\nadd address=192.0.2.1/24 interface=ether1\n:put reached\n"


class HeldWire(Wire):
    """May stop to pass anything on, and nobody is told."""

    def __init__(self, namespace, port):
        self.hold_before = None  # bytes of the agent
        self.dark_at = None  # of the router, which still come through
        self.is_held, self.may_pass = threading.Event(), threading.Event()
        self.may_pass.set()
        super().__init__(namespace, port)

    def hold(self):
        self.hold_before = self.dark_at = None
        self.may_pass.clear()
        self.is_held.set()

    def pass_on(self, target, data, is_agent):
        if is_agent and self.hold_before and self.hold_before in self.sent:
            self.hold()
        assert self.may_pass.wait(240), "held, and nobody let it go"
        super().pass_on(target, data, is_agent)
        if not is_agent and self.dark_at and self.dark_at in self.heard:
            self.hold()

    def end(self):
        self.may_pass.set()
        super().end()


class SafeSite(Site):
    make_wire = HeldWire

    def rows(self, *path):
        """Asked again when the router reboots in this moment."""
        try:
            return super().rows(*path)
        except (librouteros.exceptions.LibRouterosError, OSError):
            return super().rows(*path)

    def wait(self, job):
        """Hurries a router that was told to go back: its scheduler looks every 10 s, by its own clock."""
        wait_until(lambda: GO_BACK in self.entry() or self.is_final(job), 60, f"job {job} ends, or the router is told to go back")
        if GO_BACK in self.entry():
            control(self.control, {"do": "pass", "seconds": 10})
        return super().wait(job)

    def is_final(self, job):
        return self.cli.rows("job", job)[0]["state"] in FINAL

    def entry(self):
        """The comments of what guards a script."""
        return [row["comment"] for row in self.rows("system", "scheduler") + self.rows("system", "script")]


@contextlib.contextmanager
def make(folder, case):
    site = SafeSite(folder, "7.20", case)
    try:
        yield site.start()
    finally:
        site.end()


side_by_side = SideBySide(make)
safe = side_by_side(None, ids=["7.20"])


def in_each_case(**cases):
    return side_by_side(*cases.values(), ids=cases.keys())


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


def push_and_stop_at_the_release(site):
    """The number of the job: confirmed, and on the wire it is held up."""
    site.wire.hold_before = b"/safe-mode/release"
    job = site.queue(SMALL, **SAVED)
    assert site.wire.is_held.wait(60) and is_changed(site)
    return job


def fill(site):
    """Somebody else's changes: more than safe mode undoes."""
    lists = site.router.connect().path("ip", "firewall", "address-list")
    for number in range(101):
        lists.add(address=f"203.0.113.{number}", list="others")


@safe
def test_safe_a_small_script_stays(site):
    done, is_kept = is_uptime_kept(site, lambda: site.push(SMALL, **SAVED))
    assert (done["state"], done["output"].strip(), done["reason"]) == ("confirmed", "reached", ""), done
    assert is_kept and is_changed(site) and traces(site) == []
    assert b"/safe-mode/release" in site.wire.sent and site.wire.has_backup()
    list(site.router.connect().rawCmd("/safe-mode/take"))  # nobody holds it any more


@safe
def test_safe_a_small_script_that_fails_is_undone_to_the_byte(site):
    before = site.export()
    done, is_kept = is_uptime_kept(site, lambda: site.push(SMALL + ":error wrong\n", **SAVED))
    assert done["state"] == "rolled-back" and "line 5: wrong" in done["reason"], done
    assert is_kept and site.export() == before and traces(site) == []
    assert b"/safe-mode/unroll" in site.wire.sent


@safe
def test_safe_a_small_script_that_cuts_the_session_is_undone(site):
    before = site.export()
    site.wire.cut_at = b"reached"
    done, is_kept = is_uptime_kept(site, lambda: site.push(SMALL, **SAVED))
    assert site.wire.is_cut.is_set() and done["state"] == "rolled-back", done
    assert is_kept and site.export() == before and traces(site) == []
    assert site.push(SMALL, **SAVED)["state"] == "confirmed" and is_changed(site)


@in_each_case(lines=lines(60), loop=lines(10) + ":for i from=1 to=2 do={ :put $i }\n", find=lines(5) + "remove [find]\n")
def test_safe_mode_is_not_for_what_may_be_more(site):
    text = site.case
    done = site.push(text, **SAVED)
    assert done["state"] == "confirmed", done
    assert site.wire.has_backup() and b"/safe-mode" not in site.wire.sent and traces(site) == []


@safe
def test_safe_mode_of_another_means_the_backup_alone(site):
    before = site.export()
    person = site.router.connect()
    list(person.rawCmd("/safe-mode/take"))
    done = site.push(SMALL, **SAVED)
    assert done["state"] == "confirmed", done
    assert "no safe mode, so the backup alone" in site.log.read_text() and traces(site) == []
    list(person.rawCmd("/safe-mode/unroll"))
    list(person.rawCmd("/safe-mode/take"))
    done = site.push(SMALL + ":error wrong\n", **SAVED)
    assert done["state"] == "rolled-back" and site.export() == before and traces(site) == [], done


@safe
def test_safe_a_router_that_cuts_the_agent_off_comes_back(site):
    """Nothing goes through any more, and the router believes in the session: its own clock brings it back."""
    def uptime():
        return seconds(site.rows("system", "resource")[0]["uptime"])

    def is_back():
        seen.append(uptime())
        control(site.control, {"do": "pass", "seconds": 1})
        return site.entry() == []

    before, seen = site.export(), []
    site.wire.dark_at = b"reached"
    job = site.queue(SMALL, **SAVED)
    assert site.wire.is_held.wait(60) and is_changed(site)
    begun = uptime()
    wait_until(is_back, 60, "the router goes back")
    took = max(seen) - begun
    # 30 s for the script, 30 s for the confirmation, 30 s of margin, 10 s between two looks; the clock runs while the test looks
    assert 85 <= took <= 110, took
    assert site.export() == before and site.cli.rows("job", job)[0]["state"] not in FINAL
    site.wire.may_pass.set()
    done = site.wait(job)
    assert done["state"] == "rolled-back" and traces(site) == [], done


@in_each_case(lives=False, killed=True)
def test_safe_mode_and_a_power_cut(site):
    """It undoes nothing then; the backup does."""
    is_killed = site.case
    before = site.export()
    job = push_and_stop_at_the_release(site)
    control(site.control, {"do": "reboot"})
    if is_killed:
        site.stop(is_killed=True)
    wait_until(lambda: site.entry() == [], 60, "the router goes back")
    assert site.export() == before
    site.wire.may_pass.set()
    if is_killed:
        site.start()
    done = site.wait(job)
    assert done["state"] == "rolled-back" and site.export() == before and traces(site) == [], done


@safe
def test_safe_mode_that_the_router_believes_in_is_ended_by_its_reboot(site):
    """Killed when it was applied: the next agent does not wait until the router has noticed."""
    before, wire = site.export(), site.wire
    job = push_and_stop_at_the_release(site)
    site.stop(is_killed=True)
    site.wire = HeldWire(site.namespace, site.router.port)  # the other one keeps its session
    conf = site.dir / "agent.conf"
    conf.write_text(conf.read_text().replace(f"{HOST}:{wire.port}", f"{HOST}:{site.wire.port}"))
    site.start()
    wait_until(lambda: GO_BACK in site.entry(), 60, "the router is told")
    with pytest.raises(librouteros.exceptions.TrapError, match="already taken"):
        list(site.router.connect().rawCmd("/safe-mode/take"))
    done = site.wait(job)
    wire.end()
    assert done["state"] == "rolled-back" and site.export() == before and traces(site) == [], done


@safe
def test_safe_mode_that_ended_without_a_word_is_told_at_the_commit(site):
    job = push_and_stop_at_the_release(site)
    fill(site)
    site.wire.may_pass.set()
    done = site.wait(job)
    assert done["state"] == "confirmed" and "safe mode had ended by itself" in done["reason"], done
    assert is_changed(site) and traces(site) == []


@in_each_case(lives=False, killed=True)
def test_safe_mode_that_ended_without_a_word_and_a_way_back_that_is_needed(site):
    """Others' changes of that time go, too: it is the whole router's backup."""
    is_killed = site.case
    before = site.export()
    site.wire.hold_before = b"identity set name=x"  # taken, marked; the script comes
    job = site.queue(SMALL + ("" if is_killed else ":error wrong\n"), **SAVED)
    assert site.wire.is_held.wait(60)
    fill(site)
    if is_killed:
        site.wire.cut_before = b"/safe-mode/release"
    site.wire.may_pass.set()
    if is_killed:
        wait_until(lambda: "applied, asking" in site.log.read_text(), 60, "the script has ended")
        site.stop(is_killed=True)
        assert is_changed(site)
        site.start()
    done = site.wait(job)
    assert done["state"] == "rolled-back" and site.export() == before and traces(site) == [], done
    assert is_killed or "safe mode had ended by itself" in site.log.read_text()


@in_each_case(release=b"/safe-mode/release", keep=b"jaga: rollback")
def test_safe_mode_and_a_session_that_ends_in_the_commit(site):
    """Before the release reaches the router, which undoes by itself then; and behind it."""
    mark = site.case
    before = site.export()
    site.wire.cut_before = mark
    done, is_kept = is_uptime_kept(site, lambda: site.push(SMALL, **SAVED))
    assert site.wire.is_cut.is_set() and is_kept == (mark != b"jaga: rollback")
    assert done["state"] == "rolled-back" and done["reason"].startswith("confirmed, but the router could not keep it: "), done
    assert site.export() == before and traces(site) == []


@safe
def test_safe_mode_that_undid_all_needs_no_reboot_when_its_time_is_over(site):
    before = site.export()
    site.wire.cut_before = b"/safe-mode/release"
    site.wire.may_close.clear()
    job = site.queue(SMALL, **SAVED)
    assert site.wire.is_cut.wait(60) and is_changed(site)
    site.stop(is_killed=True)
    site.wire.may_close.set()
    wait_until(lambda: site.entry() == ["jaga: nothing changed yet"], 60, "the router has undone it")
    control(site.control, {"do": "pass", "seconds": 120})
    wait_until(lambda: site.entry() == ["jaga: went back"], 60, "its time is over")
    done, is_kept = is_uptime_kept(site, lambda: site.start().wait(job))
    assert done["state"] == "rolled-back" and is_kept, done
    assert site.export() == before and traces(site) == []


@safe
def test_a_commit_that_comes_too_late_is_none(site):
    """The router has gone back when the collector confirms."""
    before, collector = site.export(), site.collector.popen
    site.wire.hold_before = b"identity set name=x"
    job = site.queue(NOT_SMALL, **SAVED)
    assert site.wire.is_held.wait(60)
    collector.send_signal(signal.SIGSTOP)
    try:
        site.wire.may_pass.set()
        wait_until(lambda: "applied, asking" in site.log.read_text(), 60, "the script has ended")
        control(site.control, {"do": "pass", "seconds": 300})
        wait_until(lambda: site.entry() == [], 60, "the router goes back")
        wait_until(lambda: "is connected again" in site.log.read_text(), 60, "the agent is let in again")
    finally:
        collector.send_signal(signal.SIGCONT)
    done = site.wait(job)
    assert done["state"] == "rolled-back" and "the router has gone back already" in done["reason"], done
    assert site.export() == before and traces(site) == []


@safe
def test_an_entry_that_comes_back_without_its_backup_ends_itself(site):
    """Somebody takes safe mode while the script runs, and unrolls it when all is over."""
    site.wire.hold_before = b"identity set name=x"
    job = site.queue(NOT_SMALL, **SAVED)
    assert site.wire.is_held.wait(60)
    list((person := site.router.connect()).rawCmd("/safe-mode/take"))
    site.wire.may_pass.set()
    assert site.wait(job)["state"] == "confirmed" and site.entry() == []
    list(person.rawCmd("/safe-mode/unroll"))
    assert site.entry() == ["jaga: way back"] and site.rows("system", "identity")[0]["name"] == "MikroTik"
    control(site.control, {"do": "pass", "seconds": 300})
    wait_until(lambda: site.rows("system", "scheduler")[0]["disabled"], 60, "the entry is disabled")
    list(person.rawCmd("/safe-mode/take"))  # the same session: nothing has rebooted


@safe
def test_what_would_lock_the_agent_out_is_undone(site):
    """The session lives on; it is another that would be refused."""
    before = site.export()
    job = site.queue(SMALL + "/user set admin password=other\n", **SAVED)
    done = Site.wait(site, job)  # which asks the router nothing
    assert done["state"] == "rolled-back" and "the agent is not let in again: " in done["reason"], done
    assert site.export() == before and traces(site) == []


@in_each_case(small=SMALL, large=NOT_SMALL)
def test_a_script_that_cannot_be_read_needs_no_reboot(site):
    text = site.case
    before = site.export()
    done, is_kept = is_uptime_kept(site, lambda: site.push(text + "/ip address add adress=192.0.2.1/24\n", **SAVED))
    assert done["state"] == "rolled-back" and "; nothing was done" in done["reason"], done
    assert is_kept and site.export() == before and traces(site) == []


def forbid_scheduler(site):
    list(site.router.connect().rawCmd("/system/device-mode/update", "=mode=home"))


@safe
def test_home_safe_mode_alone_guards_and_says_so(site):
    forbid_scheduler(site)
    before = site.export()
    done, is_kept = is_uptime_kept(site, lambda: site.push(SMALL + ":error wrong\n", **SAVED))
    assert done["state"] == "rolled-back" and is_kept and site.export() == before and traces(site) == [], done
    done = site.push(SMALL, **SAVED)
    assert done["state"] == "confirmed" and is_changed(site) and traces(site) == [], done
    assert "safe mode alone" in done["reason"] and "/system device-mode update scheduler=yes" in done["reason"]
    assert "if that cuts the agent off it goes back after up to 9 minutes" in site.log.read_text()


@safe
def test_home_nothing_is_run_when_safe_mode_is_anothers(site):
    forbid_scheduler(site)
    before = site.export()
    list((person := site.router.connect()).rawCmd("/safe-mode/take"))
    done = site.push(SMALL, **SAVED)
    assert done["state"] == "failed" and "no safe mode: /safe-mode/take: failure: " in done["reason"], done
    assert site.export() == before and traces(site) == []
    list(person.rawCmd("/safe-mode/release"))


@safe
def test_home_after_a_power_cut_the_agent_loads_the_backup(site):
    forbid_scheduler(site)
    before = site.export()
    job = push_and_stop_at_the_release(site)
    control(site.control, {"do": "reboot"})
    site.wire.may_pass.set()
    done = site.wait(job)
    assert done["state"] == "rolled-back" and site.export() == before and traces(site) == [], done
