"""What a router is without now and then: random numbers, the right time, room on its flash, a file system that can
be written at all, its key. It stays online and fails over; what cannot work is told in one line.

The same in emulated routers, with a kernel that really is without: tests/guest/test_harsh.py."""
import shutil
import struct
import time

import pytest

from tests.e2e.observe import UPKEEP_S, told, wait_new_flows, wait_notice, wait_trouble, wait_well
from tests.lab.lab import wait_until
from tests.lab.programs import Agent, Cli, Collector, Flows, build_dir

DOWN_S, UP_S = 5, 15
YEARS_20_S = 7305 * 86400
HELD = 40


def start_under(lab, agent, *prefix, env=None):
    """The agent, run by another program; true when it answers."""
    agent.program = lab.rtr.start(agent.name, *prefix, *agent.argv(), env=env)
    wait_until(agent.answers, 10, f"{agent.name} answers on its socket")
    return agent


def hold_flows(lab):
    flows = Flows(lab)
    wait_new_flows(flows, 1, 2)
    flows.open(HELD)
    return flows


def assert_fails_over(lab, flows, agent=None):
    """A line dies and comes back, and so do the LAN's flows."""
    lab.cut_forwarding(1)
    lab.prove_fault()
    wait_new_flows(flows, 2, timeout_s=DOWN_S)
    if agent:
        agent.wait_state(1, "down", DOWN_S)
    lab.restore()
    wait_new_flows(flows, 1, 2, timeout_s=UP_S)


def sessions(agent):
    return agent.program.read_log().count("session open")


# --- random numbers -----------------------------------------------------------------------------------

def test_a_kernel_without_random_numbers(lab, cli):
    """The session waits for them; forwarding does not, and what happened meanwhile is reported afterwards."""
    agent, ready = Agent(lab, collector=True), lab.dir / "random"
    agent.enroll(cli)
    start_under(lab, agent, build_dir() / "tests/fake/norandom", ready)
    line = "no session yet: the kernel has gathered no random numbers for its keys; forwarding does not wait"
    assert agent.program.read_log().count(line) == 1
    status = agent.status()
    assert status["session"] == "not-begun" and status["trouble"] == line and status["plan_in_force"]
    flows = hold_flows(lab)
    assert_fails_over(lab, flows, agent)
    assert cli.device(agent.name)["online"] is False
    begin_ms = time.time() * 1000
    ready.touch()
    cli.wait_online(agent.name, timeout_s=5)
    wait_well(agent)
    down = cli.wait_event(agent.name, uplink="isp1", to="down")
    assert begin_ms - 60_000 < down["time_ms"] < begin_ms
    wait_notice(cli, agent, "random numbers are there")
    assert agent.program.read_log().count(line) == 1


# --- time ---------------------------------------------------------------------------------------------

class WallClock:
    """The wall clock of programs that run with `env`; they may all have their own."""

    def __init__(self, path, offset_s=0):
        self.path, self.env = path, {"LD_PRELOAD": str(build_dir() / "tests/fake/wallclock.so"), "JAGA_WALLCLOCK": str(path),
                                     "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0"}
        self.set(offset_s)

    def set(self, offset_s):
        """Seconds from the true time."""
        with open(self.path, "r+b" if self.path.exists() else "w+b") as file:  # in place: it is mapped
            file.write(struct.pack("=q", int(offset_s)))


def test_a_clock_in_1970(lab, cli):
    """As every router without a battery begins. Reports have the right times all the same: the collector's."""
    agent = Agent(lab, collector=True)
    agent.enroll(cli)
    clock = WallClock(lab.dir / "clock", -time.time())
    start_under(lab, agent, env=clock.env)
    cli.wait_online(agent.name)
    line = "the clock is not set (year 1970): times in this router's own log are wrong, nothing else needs it"
    assert agent.status()["trouble"] == line
    wait_notice(cli, agent, line)
    flows = hold_flows(lab)
    before_ms = time.time() * 1000
    assert_fails_over(lab, flows, agent)
    down = cli.wait_event(agent.name, uplink="isp1", to="down")
    assert before_ms < down["time_ms"] < time.time() * 1000
    opened = sessions(agent)
    clock.set(0)  # NTP
    wait_well(agent)
    wait_notice(cli, agent, "the clock is set now")
    assert not [row for row in cli.rows("events") if row["time_ms"] < before_ms - 60_000]
    assert "set forward" not in agent.program.read_log()
    assert sessions(agent) == opened


def test_years_forward_and_back_at_the_router(lab, cli):
    agent = Agent(lab, collector=True, agent_lines="sample_interval = 5s")
    agent.enroll(cli)
    clock = WallClock(lab.dir / "clock")
    start_under(lab, agent, env=clock.env)
    cli.wait_online(agent.name)
    flows = hold_flows(lab)
    said = told(cli.rows("events", "--device", agent.name))
    for offset_s, line in ((YEARS_20_S, "the clock was set forward by 7305 days"), (-40 * 365 * 86400, r"is not set \(year 19")):
        opened = sessions(agent)
        clock.set(offset_s)
        agent.program.wait_log(line, UPKEEP_S)
        assert sessions(agent) == opened
        assert flows.check()["alive"] == flows.check()["held"]
        assert told(cli.rows("events", "--device", agent.name)) == said  # no false fail-over
        assert_fails_over(lab, flows, agent)
        wait_until(lambda: told(cli.rows("events", "--device", agent.name))[len(said):][-1:] == [("isp1", "down", "up", "recovered")], 10,
                   "down and up are told")
        said = told(cli.rows("events", "--device", agent.name))
        flows.open(HELD)
    times = [row["time_ms"] for row in cli.rows("events", "--device", agent.name) if row["kind"] == "uplink"]
    assert times == sorted(times) and abs(times[-1] - time.time() * 1000) < 60_000


def test_years_forward_and_back_at_the_collector(lab):
    """Sessions stay, ages stay right, what happens stays in order."""
    clock, collector = WallClock(lab.dir / "clock"), Collector(lab)
    collector.program = lab.srv.start("collector", collector.binary, "--config", collector.conf, env=clock.env)
    wait_until(collector.answers, 10, "the collector answers")
    cli = Cli(collector)
    agent = Agent(lab, collector=True, ipv6=False, agent_lines="scripts = unsigned")
    agent.enroll(cli)
    agent.start()
    cli.wait_online(agent.name)
    wait_until(lambda: all(row["state"] == "up" for row in cli.rows("show", agent.name)[0]["uplinks"]), 10, "both are up")
    flows, script = hold_flows(lab), lab.dir / "script.sh"
    script.write_text("exit 0\n")
    for offset_s, line in ((YEARS_20_S, "set forward by 7305 days"), (0, "set back by 7305 days")):
        opened = sessions(agent)
        clock.set(offset_s)
        collector.program.wait_log(line, 5)
        now_ms = (time.time() + offset_s) * 1000
        shown = cli.rows("show", agent.name)[0]
        for at_ms in (shown["last_seen_ms"], shown["session_since_ms"], *(row["since_ms"] for row in shown["uplinks"])):
            assert abs(at_ms - now_ms) < 60_000
        assert sessions(agent) == opened
        assert_fails_over(lab, flows, agent)
        cli.wait_event(agent.name, uplink="isp1", to="up", cause="recovered")
        assert cli.device(agent.name)["online"]
        rows = cli.rows("events", "--device", agent.name)
        assert [row["id"] for row in rows] == sorted(row["id"] for row in rows)
        assert abs(rows[-1]["time_ms"] - (time.time() + offset_s) * 1000) < 60_000
        assert cli.run("push", agent.name, script, "--wait").returncode == 0
        if offset_s:
            assert cli.run("push", agent.name, script, "--wait", "--expires", "1h").returncode == 0
    late = cli.run("push", agent.name, script, "--wait", "--expires", "1h", check=False)
    assert "by this router's journal it is later than by the collector" in late.stdout + late.stderr


def test_a_collector_in_1970(lab):
    clock, collector = WallClock(lab.dir / "clock", -time.time()), Collector(lab)
    collector.program = lab.srv.start("collector", collector.binary, "--config", collector.conf, env=clock.env)
    wait_until(collector.answers, 10, "the collector answers")
    cli = Cli(collector)
    agent = Agent(lab, collector=True, agent_lines="scripts = unsigned")
    agent.enroll(cli)
    agent.start()
    cli.wait_online(agent.name)
    assert [row["problem"] for row in cli.rows("status") if row.get("problem") == "clock"] == ["clock"]
    script = lab.dir / "script.sh"
    script.write_text("exit 0\n")
    assert cli.run("push", agent.name, script, "--wait").returncode == 0
    clock.set(0)
    wait_until(lambda: not [row for row in cli.rows("status") if row.get("problem") == "clock"], 5, "the clock is no problem")
    shown = cli.rows("show", agent.name)[0]
    assert abs(shown["last_seen_ms"] - time.time() * 1000) < 60_000


# --- flash --------------------------------------------------------------------------------------------

def start_on(lab, agent, mount):
    """The agent, with this file system as its state directory; mounts end with the process."""
    agent.state.mkdir()
    command = " ".join(map(str, agent.argv()))
    agent.program = lab.rtr.start(agent.name, "sh", "-c", f"mount -t tmpfs {mount} none {agent.state} && "
                                  f"{{ ! touch {agent.state}/x || dd if=/dev/zero of={agent.state}/x bs=4k 2>/dev/null; "
                                  f"exec {command}; }}")
    wait_until(agent.answers, 10, "the agent answers on its socket")


def inside(agent, *argv):
    """Runs in the agent's mount namespace: {state directory as it sees it} is below /proc/PID/root."""
    return agent.lab.rtr.run("nsenter", "-t", agent.program.pid, "-m", "-r", *argv)


@pytest.mark.parametrize("mount, problem", [("-o ro", "Read-only file system"), ("-o size=16k", "No space left on device")])
def test_flash_that_takes_nothing(lab, cli, mount, problem):
    agent = Agent(lab, collector=True, agent_lines="scripts = unsigned")
    agent.enroll(cli)
    lab.rtr.sysctl(net__ipv4__conf__wan1__rp_filter=1, net__ipv4__conf__wan2__rp_filter=1)
    start_on(lab, agent, mount)
    line = (f"{agent.state} cannot be written: {problem}; forwarding goes on, pushed scripts are refused meanwhile")
    assert agent.program.read_log().count(line) == 1
    assert agent.status()["trouble"] == line
    cli.wait_online(agent.name)
    wait_notice(cli, agent, f"cannot be written: {problem}")
    wait_notice(cli, agent, "the old kernel settings are not kept")
    for dev in ("wan1", "wan2"):  # strict ones would drop what comes back by the second line
        assert lab.rtr.run("sysctl", "-n", f"net.ipv4.conf.{dev}.rp_filter").stdout == "2\n"
    flows = hold_flows(lab)
    assert_fails_over(lab, flows, agent)

    ran = lab.dir / "ran"
    script = lab.dir / "script.sh"
    script.write_text(f"echo ran >> {ran}\n")
    refused = cli.run("push", agent.name, script, "--wait", check=False)
    assert "the router cannot write its journal" in refused.stdout + refused.stderr
    assert not ran.exists()
    assert inside(agent, "ls", agent.state).stdout.split() in ([], ["x"])  # nothing half-written

    inside(agent, "mount", "-o", "remount,rw,size=1m", agent.state)  # whoever mends it
    wait_well(agent)
    wait_notice(cli, agent, "the state directory can be written again")
    assert cli.run("push", agent.name, script, "--wait").returncode == 0
    assert ran.read_text() == "ran\n"
    assert "journal" in inside(agent, "ls", agent.state).stdout


def test_flash_that_fills_while_it_runs(lab):
    agent = Agent(lab)
    agent.state.mkdir()
    agent.program = lab.rtr.start(agent.name, "sh", "-c", f"mount -t tmpfs -o size=64k none {agent.state} && exec "
                                  + " ".join(map(str, agent.argv())))
    wait_until(agent.answers, 10, "the agent answers on its socket")
    wait_well(agent)
    inside(agent, "sh", "-c", f"! dd if=/dev/zero of={agent.state}/x bs=4k")
    wait_trouble(agent, "No space left on device")
    assert_fails_over(lab, hold_flows(lab), agent)
    inside(agent, "rm", f"{agent.state}/x")
    wait_well(agent)


def test_a_journal_on_flash_that_is_mounted_late(lab, cli):
    """A script was cut off by a power cut; the state directory comes after the agent. It is not run a second time."""
    agent, ran = Agent(lab, collector=True, agent_lines="scripts = unsigned"), lab.dir / "ran"
    agent.enroll(cli)
    agent.start()
    cli.wait_online(agent.name)
    script = lab.dir / "script.sh"
    script.write_text(f"echo ran >> {ran}\nkill -9 $PPID\n")
    cli.run("push", agent.name, script)
    wait_until(lambda: ran.exists() and not agent.program.is_running(), 10, "the script has ended the agent")
    saved = agent.state.with_name("away")
    agent.state.rename(saved)
    agent.state.write_text("no directory\n")
    agent.start()
    wait_trouble(agent, str(agent.state))
    agent.state.unlink()
    saved.rename(agent.state)
    wait_well(agent)
    job = wait_until(lambda: (row := cli.rows("jobs")[0])["state"] == "interrupted" and row, 20, "the job is interrupted")
    assert job["job"] == "1" and ran.read_text() == "ran\n"


# --- no place to write --------------------------------------------------------------------------------

EMPTY_RO = "mount -t tmpfs -o ro,size=4k none"
ELSEWHERE = "/media"  # where the lab's directory is bound to, before what is above it goes


def start_elsewhere(lab, agent, mounts):
    """
    The agent in a mount namespace that these commands make; not waited for, since its socket may be hidden. Its program goes along:
    this tree may lie below what is hidden.
    """
    agent.conf.write_text(agent.conf.read_text().replace(str(lab.dir), ELSEWHERE))
    program, *arguments = map(str, agent.argv())
    command = " ".join([str(shutil.copy(program, lab.dir / "program")), *arguments]).replace(str(lab.dir), ELSEWHERE)
    agent.program = lab.rtr.start(agent.name, "sh", "-c", f"mount --bind {lab.dir} {ELSEWHERE} && {mounts} && exec {command}")
    agent.program.wait_log("started version", 10)
    return command


def test_nothing_can_be_written_anywhere(lab):
    """A read-only root without /tmp and /run, on which neither state directory nor socket exist."""
    agent, place = Agent(lab), lab.dir / "root"
    place.mkdir()
    agent.conf.write_text(agent.conf.read_text().replace(str(agent.state), f"{place}/lib/jaga")
                          .replace(str(agent.socket), f"{place}/run/agent.sock"))
    root = f"{ELSEWHERE}/root"
    command = start_elsewhere(lab, agent, f"{EMPTY_RO} {root} && {EMPTY_RO} /run && {EMPTY_RO} /tmp && {EMPTY_RO} /var")
    log = agent.program.read_log()
    assert f"{root}/lib cannot be created: Read-only file system; forwarding goes on" in log
    assert f"{root}/run cannot be created: Read-only file system; \"jaga-agent status\" does not work meanwhile" in log
    flows = hold_flows(lab)
    assert_fails_over(lab, flows)
    inside(agent, "mount", "-o", "remount,rw,size=1m", root)
    agent.program.wait_log("the socket of .jaga-agent status. is there", UPKEEP_S)
    agent.program.wait_log("the state directory can be written again", UPKEEP_S)
    assert inside(agent, "sh", "-c", f"{command} status --kv").stdout.count("trouble=\n") == 1
    assert agent.program.read_log().count("meanwhile") == 2


PLACES = {
    "no tmp": f"{EMPTY_RO} /tmp",
    "no run": f"{EMPTY_RO} /run",
    "empty dev": "mount -t tmpfs none /dev",
    "proc sys read-only": "mount --bind /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys",
}


@pytest.mark.parametrize("name", PLACES)
def test_a_place_that_is_missing(lab, name):
    agent = Agent(lab)
    lab.rtr.sysctl(net__ipv4__conf__wan2__rp_filter=1)
    start_elsewhere(lab, agent, PLACES[name])
    assert ("which cannot be set: Read-only file system" in agent.program.read_log()) == ("proc" in name)
    if "proc" in name:  # who confines the agent so sets it beforehand, as the doctor says
        lab.rtr.sysctl(net__ipv4__conf__wan2__rp_filter=2)
    assert_fails_over(lab, hold_flows(lab))


# --- the connection table -----------------------------------------------------------------------------

# What a full table does to new flows, to those of the probes: its size is the kernel's, not this namespace's, to be set.
FULL = """
table inet full {
  counter refused {}
  chain output {
    type filter hook output priority 0
    ct state new meta l4proto icmp counter name refused drop
  }
}"""
TABLE_SIZE = "/proc/sys/net/netfilter/nf_conntrack_max"


def has_answers_of_all(lab):
    """Each line's probes of both targets have an entry of the connection table that has seen an answer."""
    probes = [line for line in lab.rtr.run("conntrack", "-L", "-p", "icmp").stdout.splitlines() if "[UNREPLIED]" not in line]
    return len(probes) >= 4


def test_a_full_connection_table(lab):
    """Probes that have no entry cannot leave, which says nothing of the lines: none is down but by its carrier, or by those that have."""
    agent, size = Agent(lab), lab.dir / "size"
    prefix = ("sh", "-c", f'mount --bind {size} {TABLE_SIZE} && exec "$@"', "sh")
    size.write_text("262144\n")
    start_under(lab, agent, *prefix)
    flows = hold_flows(lab)
    wait_until(lambda: has_answers_of_all(lab), 10, "probes have entries")
    size.write_text("1\n")
    lab.rtr.nft(FULL)
    wait_trouble(agent, "the connection table is full (1): ")
    lab.cut_forwarding(1)
    agent.wait_state(1, "down", DOWN_S)
    lab.restore(1)
    wait_new_flows(flows, 1, 2, timeout_s=UP_S)
    flows.open(HELD)
    agent.stop()
    start_under(lab, agent, *prefix)  # its probes are new to the table
    fell, seen = agent.program.read_log().count("is down"), lab.rtr.counter("full", "refused")
    wait_until(lambda: lab.rtr.counter("full", "refused") > seen + 100, 10, "probes are refused on both lines for 5 s")
    assert agent.program.read_log().count("is down") == fell and agent.state_of(1) == agent.state_of(2) == "up"
    assert flows.check()["alive"] == flows.check()["held"]
    lab.cut_carrier(1)
    agent.wait_state(1, "down", DOWN_S)
    wait_new_flows(flows, 2)
    lab.restore(1)
    size.write_text("262144\n")
    lab.rtr.run("nft", "delete", "table", "inet", "full")
    wait_new_flows(flows, 1, 2, timeout_s=UP_S)
    wait_well(agent)
    assert agent.program.read_log().count("the connection table has room again") == 1


# --- the key ------------------------------------------------------------------------------------------

@pytest.mark.parametrize("key, mode, reason", [
    (None, 0o600, "No such file"), ("12" * 31, 0o600, "64 hexadecimal digits"), ("xy" * 32, 0o600, "64 hexadecimal digits"),
    ("12" * 32, 0o644, "can be read by others")])
def test_a_key_that_cannot_be_used(lab, cli, key, mode, reason):
    """Nothing is reported, and everything else works; the right one is taken when it comes."""
    agent = Agent(lab, collector=True)
    agent.enroll(cli)
    right = agent.key.read_text()
    agent.key.unlink()
    if key:
        agent.key.write_text(key + "\n")
        agent.key.chmod(mode)
    agent.start()
    status = agent.status()
    assert status["session"] == "not-begun"
    assert str(agent.key) in status["trouble"] and reason in status["trouble"] and "nothing is reported" in status["trouble"]
    assert agent.program.read_log().count("nothing is reported") == 1
    assert key is None or key not in agent.program.read_log()
    assert_fails_over(lab, hold_flows(lab), agent)
    new = agent.key.with_suffix(".new")
    new.write_text(right)
    new.chmod(0o600)
    new.rename(agent.key)
    cli.wait_online(agent.name, timeout_s=UPKEEP_S)
    wait_well(agent)
    cli.wait_event(agent.name, uplink="isp1", to="down")
