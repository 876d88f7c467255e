"""Boots and lives that are hard on a router, with kernels that really have no random numbers, the wrong year, a full
disk: an ISP is cut in every one and the LAN's traffic moves, and what cannot work is said in one line. What each
program does in its corners is in tests/e2e/test_harsh.py; docs/failover.md has the table.

Big-endian MIPS is the kind that is born without a clock; x86-64 has the larger kernel, with block devices."""
import time

import pytest

from tests.e2e.observe import UPKEEP_S, told, uses, wait_notice, wait_trouble, wait_well
from tests.guest.guest import make_disk
from tests.guest.lab import GuestAgent, GuestLab
from tests.lab.lab import wait_until
from tests.lab.programs import Flows, start_echo

pytestmark = pytest.mark.deadline(600)

DOWN_S, UP_S, ONLINE_S = 30, 90, 90  # by the emulated machine's own pace
YEAR_S, YEARS_20_S = 365 * 86400, 7305 * 86400

# Nothing that hands the kernel random numbers: no instruction, no boot loader, no device.
NO_RANDOM = {"append": "random.trust_cpu=off random.trust_bootloader=off"}
NO_RDRAND = {"x86_64": {"extra": ("-cpu", "max,-rdrand,-rdseed")}}


@pytest.fixture
def lab(request, tmp_path):
    """A laboratory around a guest; machine() says which, and what is odd about it."""
    arch, options = request.param
    options = dict(options)
    if options.pop("no_random", False):
        options |= NO_RANDOM | NO_RDRAND.get(arch, {})
    if disk_mb := options.pop("disk_mb", None):
        options["disks"] = (make_disk(tmp_path / "disk", disk_mb),)
    with GuestLab(arch, **options) as one:
        start_echo(one)
        yield one
        one.keep_logs()


def machine(*arches, **options):
    """Runs the test once in a guest of each kind, with these options."""
    return pytest.mark.parametrize("lab", [pytest.param((arch, options), id=arch) for arch in arches], indirect=True)


def enrolled(lab, cli, **options):
    agent = GuestAgent(lab, collector=True, ipv6=False, **options)
    agent.enroll(cli)
    return agent


def wait_path(flows, *numbers, timeout_s):
    """What the LAN opens takes these uplinks. A few at a time: the emulated machine is busy enough."""
    def look():
        flows.drop()
        return uses(flows.open(12), *numbers)
    wait_until(look, timeout_s, f"new flows take uplinks {numbers}", poll_s=0.5)


def begin_flows(lab):
    flows = Flows(lab)
    wait_path(flows, 1, 2, timeout_s=UP_S)
    return flows


def assert_fails_over(lab, flows, agent):
    """A line dies and comes back, and so does what the LAN sends."""
    lab.cut_forwarding(1)
    agent.wait_state(1, "down", DOWN_S)
    wait_path(flows, 2, timeout_s=DOWN_S)
    lab.prove_fault()
    lab.restore()
    agent.wait_state(1, "up", UP_S)
    wait_path(flows, 1, 2, timeout_s=UP_S)


def said(agent, line):
    return agent.program.read_log().count(line)


def set_clock(lab, when_s):
    lab.guest.sh(f"date -u -s @{int(when_s)}")


# --- random numbers -----------------------------------------------------------------------------------

def has_random(lab):
    return "crng init done" in lab.guest.sh("dmesg")


@machine("x86_64", "mips", no_random=True)
def test_a_boot_without_random_numbers(lab, cli):
    """The line dies and recovers before the kernel has any, which an agent that reports nothing does not ask for; one
    that reports says what it waits for, and the kernel gathers it."""
    silent = GuestAgent(lab, ipv6=False).start()
    assert_fails_over(lab, begin_flows(lab), silent)
    assert not has_random(lab)
    silent.stop()

    agent = enrolled(lab, cli)
    assert not has_random(lab)
    agent.start()
    line = "no session yet: the kernel has gathered no random numbers for its keys; forwarding does not wait"
    assert said(agent, line) == 1
    cli.wait_online(agent.name, timeout_s=ONLINE_S)
    assert has_random(lab)
    wait_notice(cli, agent, line)
    wait_notice(cli, agent, "random numbers are there")
    wait_well(agent)
    assert_fails_over(lab, Flows(lab), agent)


# --- time ---------------------------------------------------------------------------------------------

@machine("x86_64", "mips", rtc="1970-01-01T00:00:00")
def test_a_boot_in_1970(lab, cli):
    assert lab.guest.sh("date -u +%Y").strip() == "1970"
    agent = enrolled(lab, cli)
    agent.start()
    cli.wait_online(agent.name, timeout_s=ONLINE_S)
    line = "the clock is not set (year 1970): times in this router's own log are wrong, nothing else needs it"
    assert said(agent, line) == 1
    assert agent.status()["trouble"] == line
    wait_notice(cli, agent, line)
    before_ms = time.time() * 1000
    assert_fails_over(lab, begin_flows(lab), agent)
    down = cli.wait_event(agent.name, uplink="isp1", to="down")
    assert before_ms < down["time_ms"] < time.time() * 1000  # the collector's, less the event's age
    set_clock(lab, time.time())
    wait_well(agent)
    wait_notice(cli, agent, "the clock is set now")
    assert cli.device(agent.name)["online"]


@machine("x86_64", "mips")
def test_20_years_forward_and_back(lab, cli):
    agent = enrolled(lab, cli)
    agent.start()
    cli.wait_online(agent.name, timeout_s=ONLINE_S)
    flows = begin_flows(lab)
    agent.wait_state(2, "up", UP_S)
    for offset_s, line in ((YEARS_20_S, "the clock was set forward by 7305 days"), (-40 * YEAR_S, "the clock is not set (year 19")):
        changes, opened = told(cli.rows("events", "--device", agent.name)), said(agent, "session open")
        set_clock(lab, time.time() + offset_s)
        wait_notice(cli, agent, line)
        assert told(cli.rows("events", "--device", agent.name)) == changes  # no false fail-over
        assert said(agent, "session open") == opened
        assert_fails_over(lab, flows, agent)
        wait_until(lambda: told(cli.rows("events", "--device", agent.name))[len(changes):][-1:] == [("isp1", "down", "up", "recovered")],
                   ONLINE_S, "the collector has been told of the recovery", poll_s=0.5)
    times = [row["time_ms"] for row in cli.rows("events", "--device", agent.name) if row["kind"] == "uplink"]
    assert times == sorted(times) and abs(times[-1] - time.time() * 1000) < 120_000


# --- flash --------------------------------------------------------------------------------------------

@machine("x86_64", disk_mb=4)
def test_flash_that_is_full(lab, cli):
    agent = enrolled(lab, cli, agent_lines="scripts = unsigned")
    lab.guest.sh(f"mke2fs -q /dev/vda 2>/dev/null && mkdir -p {agent.state} && mount -t ext2 /dev/vda {agent.state} && "
                 f"! dd if=/dev/zero of={agent.state}/x bs=64k 2>/dev/null && ! dd if=/dev/zero of={agent.state}/y bs=1k 2>/dev/null",
                 timeout_s=120)
    lab.rtr.sysctl(net__ipv4__conf__wan2__rp_filter=1)
    agent.start()
    cli.wait_online(agent.name, timeout_s=ONLINE_S)
    line = "cannot be written: No space left on device; forwarding goes on, pushed scripts are refused meanwhile"
    assert said(agent, line) == 1
    assert line in agent.status()["trouble"]
    wait_notice(cli, agent, line)
    wait_notice(cli, agent, "the old kernel settings are not kept, --remove will leave ours until a reboot")
    assert_fails_over(lab, begin_flows(lab), agent)

    script = lab.dir / "script.sh"
    script.write_text("echo ran >>/run/ran\n")
    refused = cli.run("push", agent.name, script, "--wait", check=False)
    assert "not run: the router cannot write its journal" in refused.stdout + refused.stderr
    assert lab.guest.run("test -e /run/ran")[0] != 0
    assert sorted(lab.guest.sh(f"ls {agent.state}").split()) == ["lost+found", "x", "y"]  # nothing half-written
    lab.guest.sh(f"rm {agent.state}/x")
    wait_well(agent)
    assert cli.run("push", agent.name, script, "--wait").returncode == 0
    assert lab.guest.sh("cat /run/ran") == "ran\n"


@machine("x86_64", "mips")
def test_a_read_only_root_without_tmp(lab, cli):
    """As a router whose overlay could not be mounted: the directory of the agent does not exist, and cannot."""
    agent = enrolled(lab, cli, agent_lines="scripts = unsigned")
    agent.conf.write_text(agent.conf.read_text().replace(str(agent.state), "/var/lib/nowhere/jaga"))
    lab.guest.sh("umount /tmp && rmdir /tmp && mount -o remount,ro / && ! touch /x 2>/dev/null && ! mkdir /tmp 2>/dev/null")
    agent.start()
    cli.wait_online(agent.name, timeout_s=ONLINE_S)
    line = "cannot be created: Read-only file system; forwarding goes on, pushed scripts are refused meanwhile"
    assert said(agent, line) == 1
    wait_trouble(agent, line)
    wait_notice(cli, agent, line)
    assert_fails_over(lab, begin_flows(lab), agent)
    cli.wait_event(agent.name, uplink="isp1", to="down")
    wait_until(lambda: cli.rows("snapshots", agent.name), ONLINE_S, "a snapshot is taken without a place to write", poll_s=0.5)
    script = lab.dir / "script.sh"
    script.write_text("echo ran >>/run/ran\n")
    refused = cli.run("push", agent.name, script, "--wait", check=False)
    assert "not run: the router cannot write its journal" in refused.stdout + refused.stderr
    lab.guest.sh("mount -o remount,rw /")
    wait_until(lambda: said(agent, "the state directory can be written again"), 2 * UPKEEP_S, "the agent has seen it")
    assert cli.run("push", agent.name, script, "--wait").returncode == 0
    assert lab.guest.sh("cat /run/ran") == "ran\n"
