"""A script that has to be confirmed: kept when the router comes back to the collector in a new session, undone when it fails,
cuts the router off, or is overtaken by a crash of whatever."""
import os
import re
import stat

import pytest

from tests.e2e.observe import changes, hide_collector, show_collector, trace
from tests.e2e.test_push import FINAL, Gate, push, queue, wait_job, write_script
from tests.lab.lab import UPLINKS, wait_until
from tests.lab.programs import COLLECTOR_PORT, Agent

SHORTEST_S = 30	 # LIMIT_CONFIRM_MIN_S
NO_RESULT = 125
APPLIED, ROLLED_BACK = "4", "6"	 # JobPhase

# What a script may do to a router, in one: files, addresses, routes, rules, filters.
MESS = """
echo changed > {file}
chmod 666 {secret}
chown 12:34 {owned}
echo changed > {link}
chmod 4755 {link}
ln -sf {device} {masked}
ln -sfn elsewhere {retargeted}
ip address add 198.51.100.77/32 dev wan2
ip address del 203.0.113.77/32 dev wan2
ip route del 198.18.7.0/24
ip route add 198.18.8.0/24 via {gateway}
ip rule del pref 500
ip rule add pref 600 from 10.99.0.0/16 lookup 77
nft delete table inet mine
nft add table ip other
"""


@pytest.fixture
def worker(lab, cli):
    """An agent on a router that has something of everything, with one file to look after."""
    lab.rtr.ip("address", "add", "203.0.113.77/32", "dev", "wan2")
    lab.rtr.ip("route", "add", "198.18.7.0/24", "via", UPLINKS[1]["gateway"])
    lab.rtr.ip("rule", "add", "pref", "500", "from", "10.98.0.0/16", "lookup", "78")
    lab.rtr.nft("table inet mine { chain in { type filter hook input priority 5; ip saddr 192.0.2.99 drop; }; }")
    (lab.dir / "router.conf").write_text("one\n")
    for name, mode in (("secret.d", 0o600), ("owned.d", 0o640), ("behind-a-link", 0o604)):
        (lab.dir / name).write_text(f"{name}\n")
        (lab.dir / name).chmod(mode)
    (lab.dir / "link.d").symlink_to("behind-a-link")
    os.mknod(lab.dir / "device", 0o666 | stat.S_IFCHR, os.makedev(1, 3))  # what scripts mask files with, by its other name: it is the machine's
    (lab.dir / "masked.d").write_text("masked.d\n")
    (lab.dir / "elsewhere").write_text("of somebody else\n")
    (lab.dir / "retargeted.d").symlink_to("behind-a-link")
    agent = Agent(lab, collector=True, ipv6=False, agent_lines="scripts = unsigned\nsample_interval = 1d",
                  snapshot_lines=f"file = {lab.dir}/router.conf\nfile = {lab.dir}/*.d")
    agent.enroll(cli)
    agent.start()
    cli.wait_online(agent.name)
    return agent


def mess(lab):
    names = {"file": "router.conf", "secret": "secret.d", "owned": "owned.d", "link": "link.d",
             "masked": "masked.d", "device": "device", "retargeted": "retargeted.d"}
    return MESS.format(**{what: lab.dir / name for what, name in names.items()}, gateway=UPLINKS[2]["gateway"]) + f"echo new > {lab.dir}/new.d\n"


def describe(path):
    s = path.stat()
    return (f"{path} -> {os.readlink(path) if path.is_symlink() else ''} {s.st_mode:o} {s.st_uid}:{s.st_gid} "
            f"{path.read_text() if stat.S_ISREG(s.st_mode) else ''}\n")


def look(lab):
    """All that MESS touches and all that is Jaga's. The order of routes and tables is the kernel's."""
    seen = {what: "\n".join(sorted(text.splitlines())) if what.startswith("r") else text for what, text in trace(lab.rtr).items()}
    seen["nft"] = "".join(sorted(re.findall(r"^table .*?^}\n", seen["nft"], re.M | re.S)))
    seen["addresses"] = re.sub(r" +valid_lft.*", "", lab.rtr.ip("-o", "address"))
    seen["links"] = lab.rtr.ip("-br", "link")
    files = [lab.dir / name for name in ("router.conf", "device", "elsewhere", "behind-a-link")] + sorted(lab.dir.glob("*.d"))
    seen["files"] = "".join(map(describe, files))
    return seen


def journal_phase(agent):
    path = agent.state / "journal"
    found = re.search(r"^phase=(\d+)$", path.read_text(errors="replace"), re.M) if path.exists() else None
    return found and found.group(1)


def plan_handles(lab):
    """Jaga's own rules and chains with their kernel handles: one that was made anew has another."""
    return re.findall(r"# handle \d+$", lab.rtr.run("nft", "-a", "list", "table", "inet", "jaga").stdout, re.M)


def saves(agent):
    return [path for path in agent.state.glob("save-*") if not (path / "undone").exists()]


# --- kept ------------------------------------------------------------------------------------------------

def test_what_is_confirmed_stays(lab, worker, cli):
    before = look(lab)
    sessions = worker.program.read_log().count("session open")
    done = push(cli, worker, write_script(lab, mess(lab) + "echo done\n"))
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
    row = cli.rows("job", cli.rows("jobs", worker.name)[0]["job"])[0]
    assert (row["state"], row["confirm_s"], row["exit_status"]) == ("confirmed", 90, 0) and "reason" not in row
    assert worker.program.read_log().count("session open") == sessions + 1  # the proof
    status = worker.status()
    assert (status["session"], status["session_error"]) == ("open", "")  # why the session before ended is settled
    after = look(lab)
    assert "changed" in after["files"] and "new.d" in after["files"] and "table ip other" in after["nft"]
    assert before["routes"] != after["routes"]
    assert saves(worker) == []
    kinds = [row["kind"] for row in cli.rows("events", "--device", worker.name)]
    assert "job" in kinds and "offline" not in kinds and kinds.count("online") == 1  # the new session was no outage


def test_the_collector_comes_back_in_time(lab, worker, cli, collector):
    gate = Gate(lab)
    job = queue(cli, worker, gate.path)
    gate.wait_begun()
    collector.kill()
    gate.open()
    wait_until(lambda: journal_phase(worker) == APPLIED, 10, "the script has ended and is not confirmed")
    collector.start()
    row = wait_job(cli, job, 40)
    assert (row["state"], row["output"]) == ("confirmed", "said go\n")
    assert saves(worker) == []


def test_a_script_that_moves_the_router_may_take_a_while(lab, worker, cli):
    """Out of reach for some seconds, as with a new PPPoE session, and back by itself."""
    down = "for dev in wan1 wan2; do ip link set $dev down; done\n"
    up = "for dev in wan1 wan2; do ip link set $dev up; done\n" + "".join(
        f"ip route replace default via {UPLINKS[n]['gateway']} dev wan{n} metric {10 * n}\n" for n in UPLINKS)
    go = lab.dir / "go"
    job = queue(cli, worker, write_script(lab, f"{down}( until [ -e {go} ]; do :; done; {up}) > /dev/null 2>&1 &\n"))
    wait_until(lambda: journal_phase(worker) == APPLIED, 10, "the script has ended")
    go.touch()
    assert wait_job(cli, job, 60)["state"] == "confirmed"


# --- undone ------------------------------------------------------------------------------------------------

def test_a_script_that_fails_leaves_nothing(lab, worker, cli):
    before, plan = look(lab), plan_handles(lab)
    done = push(cli, worker, write_script(lab, mess(lab) + "ip link set nonsense up\nexit 4\n"))
    row = cli.rows("job", cli.rows("jobs", worker.name)[0]["job"])[0]
    assert changes(before, look(lab)) == ""
    assert plan_handles(lab) == plan  # Jaga's own was not made anew: no flow was cut
    assert (row["state"], row["exit_status"]) == ("rolled-back", 4)
    assert row["reason"].startswith("exit status 4: ") and "nonsense" in row["reason"]
    assert done.returncode == 4 and "rolled-back: exit status 4" in done.stderr
    assert saves(worker) == []
    assert push(cli, worker, write_script(lab, "echo next\n")).stdout == "next\n"


@pytest.mark.parametrize("cut", ["filter", "links"])
def test_a_script_that_cuts_the_router_off_is_undone(lab, worker, cli, cut):
    before = look(lab)
    blow = {"filter": f"nft 'table inet oops {{ chain out {{ type filter hook output priority -5; "
                      f"udp dport {COLLECTOR_PORT} drop; }}; }}'\n",
            "links": "for dev in wan1 wan2; do ip link set $dev down; done\n"}[cut]
    job = queue(cli, worker, write_script(lab, mess(lab) + blow), "--confirm", SHORTEST_S)
    wait_until(lambda: journal_phase(worker) == APPLIED, 10, "the script has ended")
    assert cli.rows("job", job)[0]["state"] not in FINAL  # how much of it the collector knows depends on when it was cut off
    row = wait_job(cli, job, 90)
    assert row["state"] == "rolled-back"
    assert row["reason"] == f"no session with the collector within {SHORTEST_S} s"
    assert row["exit_status"] == 0
    assert SHORTEST_S * 1000 <= row["changed_ms"] - row["queued_ms"]
    wait_until(lambda: changes(before, look(lab)) == "", 15, "the router is as it was")
    assert cli.run("job", job, "--wait", check=False).returncode == NO_RESULT


def test_the_collector_comes_back_too_late(lab, worker, cli, collector):
    before = look(lab)
    gate = Gate(lab, after=mess(lab))
    job = queue(cli, worker, gate.path, "--confirm", SHORTEST_S)
    gate.wait_begun()
    collector.kill()
    gate.open()
    wait_until(lambda: journal_phase(worker) == ROLLED_BACK, SHORTEST_S + 20, "the router has gone back by itself")
    assert changes(before, look(lab)) == ""
    collector.start()
    row = wait_job(cli, job, 75)  # the pause before the next try may be 64 s by now
    assert row["state"] == "rolled-back" and "no session with the collector" in row["reason"]


# --- the agent dies ---------------------------------------------------------------------------------------

def test_an_agent_that_dies_before_the_confirmation_goes_back(lab, worker, cli):
    before = look(lab)
    gate = Gate(lab, after=mess(lab))
    job = queue(cli, worker, gate.path)
    gate.wait_begun()
    hide_collector(lab)
    gate.open()
    wait_until(lambda: journal_phase(worker) == APPLIED, 10, "the script has ended and is not confirmed")
    worker.kill()
    assert changes(before, look(lab)) != ""
    worker.start()
    wait_until(lambda: journal_phase(worker) == ROLLED_BACK, 10, "it went back")
    assert changes(before, look(lab)) == ""
    show_collector(lab)
    row = wait_job(cli, job, 60)
    assert row["state"] == "rolled-back" and "stopped before it was confirmed" in row["reason"]


def test_an_agent_that_dies_while_it_runs_ends_it_and_goes_back(lab, worker, cli):
    before = look(lab)
    gate = Gate(lab, after=mess(lab))
    gate.path.write_text(mess(lab) + gate.path.read_text())
    job = queue(cli, worker, gate.path)
    gate.wait_begun()
    worker.kill()
    worker.start()
    row = wait_job(cli, job, 60)
    assert row["state"] == "rolled-back" and "stopped while it ran" in row["reason"]
    assert changes(before, look(lab)) == ""
    with pytest.raises(OSError):  # nobody reads any more: the script has been ended, and does not go on behind our back
        gate.open_now()
    assert gate.count() == 1


def test_a_router_that_boots_goes_back_before_it_is_judged(lab, worker, cli):
    """After a power cut nothing of Jaga is in force, and what the script left would keep the agent from taking over."""
    trap = ("preference", "50", "fwmark", "0x40", "lookup", "main")
    before = look(lab)
    gate = Gate(lab, after=mess(lab) + f"ip rule add {' '.join(trap)}\n")
    job = queue(cli, worker, gate.path)
    gate.wait_begun()
    hide_collector(lab)
    gate.open()
    wait_until(lambda: journal_phase(worker) == APPLIED, 10, "the script has ended and is not confirmed")
    worker.kill()
    for family in ("inet", "ip"):
        lab.rtr.run("nft", "delete", "table", family, "jaga")
    worker.start()
    assert "mark-clash" not in worker.program.read_log()
    wait_until(lambda: changes(before, look(lab)) == "", 10, "the router is as it was, with a plan of its own")
    assert worker.status()["adopted"] is False
    show_collector(lab)
    assert wait_job(cli, job, 60)["state"] == "rolled-back"
    worker.wait_state(1, "up", 10)


# --- otherwise ---------------------------------------------------------------------------------------------

def test_nobody_asked_for_a_way_back(lab, worker, cli):
    done = push(cli, worker, write_script(lab, mess(lab) + "exit 4\n"), "--no-confirm")
    assert done.returncode == 4
    row = cli.rows("jobs", worker.name)[0]
    assert row["state"] == "failed" and "confirm_s" not in row
    assert "changed" in look(lab)["files"] and "table ip other" in look(lab)["nft"]
    assert list(worker.state.glob("save-*")) == []


def test_a_rollback_of_one_s_own(lab, worker, cli):
    """It runs instead of the router's own way, and only when it is needed."""
    undo = write_script(lab, f"echo job $JAGA_JOB it\\'s undone > {lab.dir}/undone\n", "undo.sh")
    script = write_script(lab, f"echo changed > {lab.dir}/router.conf\n")
    assert push(cli, worker, script, "--rollback", undo).returncode == 0
    assert not (lab.dir / "undone").exists()
    script.write_text(script.read_text() + "exit 9\n")
    assert push(cli, worker, script, "--rollback", undo).returncode == 9
    row = cli.rows("job", cli.rows("jobs", worker.name)[0]["job"])[0]
    assert row["state"] == "rolled-back" and row["rollback"] == undo.read_text()
    assert (lab.dir / "undone").read_text() == f"job {row['job']} it's undone\n"
    assert (lab.dir / "router.conf").read_text() == "changed\n"


def test_a_way_back_that_fails_is_told_loudly(lab, worker, cli):
    undo = write_script(lab, "echo line of the undoing >&2; exit 3\n", "undo.sh")
    done = push(cli, worker, write_script(lab, "exit 9\n"), "--rollback", undo)
    assert done.returncode == NO_RESULT
    assert "half configured: its rollback script ended with status 3: line of the undoing" in done.stderr
    assert cli.rows("jobs", worker.name)[0]["state"] == "failed"
    wait_until(lambda: any("could not go back and may be half configured" in row["text"]
                           for row in cli.rows("events", "--device", worker.name) if row["kind"] == "notice"), 10, "an event tells")


def test_what_cannot_be_saved_is_not_run(lab, worker, cli):
    """Without a way back nothing begins. Quoted, this rollback is longer than what the router takes."""
    undo, ran = write_script(lab, ": " + "'" * 100_000 + "\n", "undo.sh"), lab.dir / "ran"
    done = push(cli, worker, write_script(lab, f"touch {ran}\n"), "--rollback", undo)
    assert done.returncode == NO_RESULT and "not run, no way back: the rollback script is too long" in done.stderr
    assert not ran.exists() and list(worker.state.glob("save-*")) == []


@pytest.mark.parametrize("options, said", [
    (("--confirm", "29"), "30 to 600"), (("--confirm", "1m"), "30 to 600"), (("--confirm", "60", "--no-confirm"), "contradict"),
    (("--rollback", "-", "--no-confirm"), "contradict"),
])
def test_orders_that_make_no_sense(lab, worker, cli, options, said):
    done = cli.run("push", worker.name, write_script(lab, "true\n"), *options, check=False)
    assert done.returncode != 0 and said in done.stderr
    assert cli.rows("jobs", worker.name) == []


def test_a_script_for_another_kind_of_router(lab, worker, cli):
    done = cli.run("push", worker.name, write_script(lab, "/interface print\n", "a.rsc"), check=False)
    assert done.returncode != 0 and "RouterOS" in done.stderr
    assert cli.rows("jobs", worker.name) == []
