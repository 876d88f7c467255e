"""Software flow offloading (OpenWrt's flow_offloading) does not keep users on a dead line.

An offloaded flow bypasses every rule: its packets go from one interface's ingress to the other's egress by an entry of the
flowtable, whatever Jaga's maps say by then. The entry ends with its conntrack entry, at once or at the flowtable's next
sweep. So it is the forgetting of flows that moves them, and the negative control leaves just that out.
"""
import sys
import time

import pytest

from tests.e2e.observe import uses
from tests.guest.guest import ROOT
from tests.lab.lab import UPLINKS, wait_until
from tests.lab.programs import Flows, Piped

pytestmark = pytest.mark.deadline(400)

FLOWS, INTERVAL_MS = 200, 250  # half of them by each uplink: 100 on the one that dies
LIMIT_S = 2.0
WATCH_S = 6.0  # after the cut; longer than the limit by what a queue in the emulator may hold back


@pytest.fixture
def streams(lab, reporting_agent):
    """100 flows by each uplink, offloaded; the providers count their packets."""
    for number in UPLINKS:
        lab.isp(number).nft("""
            table inet users {
              counter sent { }
              chain pre { type filter hook prerouting priority -300; iifname "cpe" meta l4proto { tcp, udp } th dport 7 counter name sent; }
            }""")
    lab.guest.sh("guestctl flowtable lan0 wan1 wan2")
    one = Piped(lab.lan.start("streams", sys.executable, "-m", "tests.guest.streams", FLOWS, INTERVAL_MS, piped=True, 
                               env={"PYTHONPATH": str(ROOT)}))
    assert one.read_line() == f"open {FLOWS}"
    wait_until(lambda: count_offloaded(lab) >= FLOWS * 0.9, 60, f"{FLOWS} flows are offloaded", poll_s=0.5)
    yield one
    one.close()


def count_offloaded(lab):
    return int(lab.guest.run("grep -c OFFLOAD /proc/net/nf_conntrack")[1] or 0)


def packets(lab, number):
    return lab.isp(number).counter("users", "sent")


def watch(lab, number, since):
    """Seconds after `since` at which the last packet of a user arrived at that provider."""
    last, seen = 0.0, packets(lab, number)
    while (now := time.monotonic() - since) < WATCH_S:
        count = packets(lab, number)
        if count != seen:
            last, seen = now, count
    return last


def test_a_dead_line_gets_no_packet(lab, streams, reporting_agent, measure):
    began = time.monotonic()
    lab.cut("ii", 1)
    last_s = watch(lab, 1, began)
    measure("flowtable, 100 flows: last packet to the dead line, ms", round(last_s * 1000))
    assert reporting_agent.state_of(1) == "down"
    assert last_s <= LIMIT_S, f"{last_s:.1f} s after the cut users' packets still go to the dead line"
    streams.write("again")
    assert streams.read_line() == f"open {FLOWS}", "not all users went on by the other line"


def test_without_forgetting_packets_keep_coming(lab, streams, reporting_agent):
    """The negative control: the plan is changed as a fail-over changes it, but no flow is forgotten."""
    reporting_agent.program.signal("STOP")
    try:
        lab.cut("ii", 1)
        began = time.monotonic()
        lab.guest.sh("guestctl live 0 1")
        assert watch(lab, 1, began) > WATCH_S - 1, "offloaded flows moved by themselves; this test proves nothing"
        flows = Flows(lab)
        wait_until(lambda: uses(flows.open(10), 2), 30, "the plan has been changed: what is new takes the other line", poll_s=0.5)
    finally:
        reporting_agent.program.signal("CONT")
