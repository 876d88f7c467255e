"""The main job on each kind of router: the same static agent that is packaged, a kernel and a machine like theirs.

Times are those of an emulated machine on a host that does other things as well; the limits leave room for that. What is
measured from the outside (the LAN client's outage) is printed at the end.
"""
import io
import os
import re
import tarfile

import pytest

from tests.guest.guest import ROOT
from tests.guest.lab import agent_binary
from tests.lab.lab import UPLINKS, wait_until
from tests.lab.programs import Flows, LanProbe

pytestmark = pytest.mark.deadline(400)

# A LAN client is offline for the detection (0.7 s) and what an emulated router needs to carry it out: 0.01 s, or ten
# times as long as the detection when the host is busy. The limit tells late from never; the table has the figures.
OUTAGE_LIMIT_MS = 5000
SCRIPT = "echo \"machine $(uname -m)\"\nip -o addr show dev wan1\n"
MACHINE = {"x86_64": "x86_64", "mipsel": "mips", "mips": "mips"}


@pytest.fixture
def probe(lab, reporting_agent):
    # Few streams: each is 300 packets a second, there and back, for a machine that is emulated.
    one = LanProbe(lab, measure=2, control=1)
    assert one.measured >= 1, "no destination is reached by ISP 1"
    one.wait_ticks(100, 90)
    yield one
    one.close()


def cut_and_measure(lab, probe, fault):
    """(outage in ms, streams) of a LAN client that used ISP 1."""
    summary, streams = probe.cut(lab, fault, timeout_s=60)
    moved = {s["seen_as"] for s in streams if s["stream"] == "udp" and s["role"] == "measured"}
    assert moved == {UPLINKS[2]["address"]}, f"flows did not move to ISP 2: {moved}"
    # Users of the other line lose nothing by the cut: their gap is the host's doing.
    assert 0 < summary["outage_ms"] < OUTAGE_LIMIT_MS + summary["control_gap_ms"], summary
    return summary["outage_ms"], streams


def packaged_agent(arch, version):
    """The agent inside the package that a router of that kind gets."""
    if arch == "x86_64":
        with tarfile.open(ROOT / f"build/packages/routeros/jaga-agent-{version}-amd64.tar") as image:
            inner = next(name for name in image.getnames() if name.endswith("layer.tar"))
            data = image.extractfile(inner).read()
    else:
        with tarfile.open(ROOT / f"build/packages/openwrt/jaga-agent-{version}-{arch}_24kc.ipk") as package:
            data = package.extractfile("./data.tar.gz").read()
    with tarfile.open(fileobj=io.BytesIO(data)) as tree:
        name = next(name for name in tree.getnames() if name.endswith("sbin/jaga-agent"))
        return tree.extractfile(name).read()


@pytest.mark.skipif("JAGA_PACKAGE_VERSION" not in os.environ, reason="make firmware-test says which packages")
def test_it_is_the_packaged_agent(arch):
    """What these tests boot, byte for byte."""
    assert packaged_agent(arch, os.environ["JAGA_PACKAGE_VERSION"]) == agent_binary(arch).read_bytes()


def test_it_boots_with_the_kernel_it_is_for(lab, arch, measure):
    assert lab.guest.sh("uname -m").strip() == MACHINE[arch]
    if arch != "x86_64":
        # No FPU, and in the big-endian kernel nothing that plays one: a hard-float program dies here.
        assert "24Kc" in lab.guest.sh("grep 'cpu model' /proc/cpuinfo")
    measure("boot to a shell, s", f"{lab.guest.boot_s:.1f}")


def test_users_stay_online(lab, reporting_agent, probe, arch, measure):
    """Both uplinks are used; a cut beyond a gateway that answers moves the users, and the collector knows."""
    agent, cli = reporting_agent, reporting_agent.cli
    flows, by = Flows(lab), {}
    for _ in range(5):  # not all at once: an emulated network card drops what a burst is too much
        opened = flows.open(20)
        assert opened["failed"] == 0
        for address, count in opened["by"].items():
            by[address] = by.get(address, 0) + count
    assert {address for address, count in by.items() if count >= 10} == {UPLINKS[n]["address"] for n in UPLINKS}
    flows.drop()

    outage_ms, _ = cut_and_measure(lab, probe, "ii")
    event = cli.wait_event(agent.name, kind="uplink", uplink="isp1", to="down", timeout_s=60)
    assert event["misses"] >= event["misses_needed"] and event["carried_by"] == "isp2"
    measure("cut beyond the gateway: LAN offline, ms", round(outage_ms))
    measure("  of that detection, ms", round(event["detect_us"] / 1000))
    measure("  of that the switch, ms", round(event["switch_us"] / 1000, 1))

    lab.restore(1)
    agent.wait_state(1, "up", 120)
    cli.wait_event(agent.name, kind="uplink", uplink="isp1", to="up", timeout_s=60)


@pytest.mark.parametrize("fault, name", [("i", "cable out"), ("iii", "gateway dead")])
def test_other_faults(lab, probe, measure, fault, name):
    outage_ms, _ = cut_and_measure(lab, probe, fault)
    measure(f"{name}: LAN offline, ms", round(outage_ms))


def test_the_technician_is_served(lab, reporting_agent, arch, measure):
    """Snapshot and script, over DTLS to the collector."""
    agent, cli = reporting_agent, reporting_agent.cli
    cli.run("snapshots", agent.name, "--take", timeout=120)
    rows = cli.rows("snapshots", agent.name)
    assert rows and rows[0]["bytes"] > 200
    path = lab.dir / "look.sh"
    path.write_text(SCRIPT)
    out = cli.run("push", agent.name, path, "--wait", timeout=120).stdout
    assert f"machine {MACHINE[arch]}" in out and UPLINKS[1]["address"] in out
    measure("snapshot, bytes", rows[0]["bytes"])


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_restarted_agent_adopts(lab, reporting_agent, end):
    """The plan stays in force without an agent, and the next one takes it as it is: no connection is lost."""
    agent = reporting_agent
    flows = Flows(lab)
    assert flows.open(20)["failed"] == 0 and flows.open(20)["failed"] == 0
    getattr(agent, end)()
    assert flows.check()["alive"] == 40, "the plan did not outlive the agent"
    agent.start()
    assert "adopted=yes" in agent.program.read_log().rpartition("started")[2]
    assert flows.check()["alive"] == 40, "the next agent cut connections"
    agent.cli.wait_online(agent.name, timeout_s=60)
    flows.close()


@pytest.mark.parametrize("arch", ["mips"], indirect=True)
@pytest.mark.parametrize("lab_options", [{"vlan": 35}])
def test_an_uplink_may_be_a_vlan(lab, probe, measure):
    outage_ms, _ = cut_and_measure(lab, probe, "ii")
    measure("cut of a VLAN uplink: LAN offline, ms", round(outage_ms))
    seen = lab.guest.sh("cat /proc/net/vlan/wan1")
    assert "VID: 35" in seen and int(re.search(r"total frames received\s+(\d+)", seen)[1]) > 100


def count_probes(lab, number):
    """Starts to count the agent's probes at that provider; the result tells how many came so far."""
    lab.isp(number).nft("""
        table inet probes {
          counter sent { }
          chain pre { type filter hook prerouting priority -300; iifname "cpe" icmp type echo-request counter name sent; }
        }""")
    return lambda: lab.isp(number).counter("probes", "sent")


def count_downs(agent):
    return sum(row.get("to") == "down" for row in agent.cli.rows("events", "--device", agent.name))


def test_a_bad_line_is_not_a_dead_line(lab, reporting_agent, measure):
    """30 ms more and one packet in a hundred lost on both uplinks: no fail-over in 400 probes each, and then a real cut is found."""
    agent = reporting_agent
    said = len(agent.program.read_log())
    downs = count_downs(agent)
    for number in UPLINKS:
        lab.guest.sh(f"guestctl netem {UPLINKS[number]['dev']} 30 10")
    probes, lossy = [count_probes(lab, number) for number in UPLINKS], set()

    def has_seen_enough():
        lossy.update(name for name, row in agent.uplinks().items() if row["loss_permille"] > 0)
        return lossy and min(count() for count in probes) >= 400

    wait_until(has_seen_enough, 200, "400 probes by each uplink, and some lost", poll_s=1)
    rows = agent.uplinks().values()
    assert all(row["rtt_us"] > 25_000 for row in rows), f"netem does nothing: {rows}"
    assert "is down" not in agent.program.read_log()[said:]
    assert count_downs(agent) == downs

    # One stream: with more of them there is hardly a moment without a lost packet that is being waited for.
    probe = LanProbe(lab, measure=1, control=0)
    probe.wait_ticks(20, 90)
    outage_ms, _ = cut_and_measure(lab, probe, "ii")
    measure("cut of a line with 30 ms, 1 % loss: LAN offline, ms", round(outage_ms))
    probe.close()
