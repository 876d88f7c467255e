"""The laboratory itself: its faults are what they say, its instruments measure what is there, and it
leaves nothing behind."""
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from tests.lab.lab import (CLIENTS, INTERNET, INTERNET6, RUN_DIR, UPLINKS, Lab, LabError, clean, list_namespaces,
                           wait_until)
from tests.lab.programs import ROOT, Flows, LanProbe

ALL_WELL = (True, True, True)
PLAIN_ROUTER = ROOT / "tests/bench/contenders/plain.nft"


@pytest.fixture
def plain(lab):
    """The lab with a router that has NAT and no fail-over."""
    lab.rtr.run("nft", "-f", PLAIN_ROUTER)
    return lab


@pytest.mark.parametrize("fault", ["i", "ii", "iii"])
def test_fault_is_what_it_says_and_ends(lab, fault):
    lab.prove(1, ALL_WELL, "before")
    lab.cut(fault)
    lab.prove_fault()
    lab.prove(2, ALL_WELL, "the other uplink")
    lab.restore()
    wait_until(lambda: lab.reach(1) == ALL_WELL, 5, "uplink 1 is as new")


def test_a_fault_that_is_none_is_told(lab):
    lab.cut("ii")
    lab.isp1.run("nft", "delete", "table", "inet", "fault")
    with pytest.raises(LabError):
        lab.prove_fault()
    lab.isp1.nft("table inet fault {\n}\n")  # restore() takes it away


def test_isps_drop_foreign_sources(lab):
    before = lab.isp1.counter("isp", "spoofed")
    lab.rtr.run("ping", "-c1", "-W0.3", "-I", "10.0.0.1", INTERNET[0], check=False)
    assert lab.isp1.counter("isp", "spoofed") == before + 1
    assert lab.isp2.counter("isp", "spoofed") == 0


def test_ipv6_reaches_the_internet_by_both_uplinks(lab):
    for number in UPLINKS:
        assert lab.rtr.ping(INTERNET6[3], UPLINKS[number]["dev"])


def test_flows_are_counted_and_seen(plain):
    flows = Flows(plain)
    assert flows.open(len(CLIENTS)) == {"opened": len(CLIENTS), "failed": 0, "by": {"192.0.2.2": len(CLIENTS)}}
    assert flows.check() == {"held": len(CLIENTS), "alive": len(CLIENTS), "by": {"192.0.2.2": len(CLIENTS)}}
    plain.cut("iii")
    assert flows.check()["alive"] == 0


def test_lanprobe_measures_a_gap_of_known_length(plain):
    probe = LanProbe(plain)
    assert probe.measured == 4
    probe.wait_ticks(20, 5)
    probe.reset()
    earliest = time.monotonic()
    plain.cut("ii")
    latest = time.monotonic()
    wait_until(lambda: time.monotonic() > latest + 0.5, 2, "the cut lasts")
    shortest = time.monotonic() - latest
    plain.restore()
    longest = time.monotonic() - earliest
    probe.wait_ticks(40, 5)
    summary, streams = probe.report()
    for key in ("connect_gap_ms", "udp_gap_ms"):
        assert shortest * 1000 <= summary[key] <= longest * 1000 + 400, summary
    assert summary["outage_ms"] == max(summary["connect_gap_ms"], summary["udp_gap_ms"])
    assert all(int(s["failed"]) > 30 for s in streams if s["stream"] != "tcp")


def test_two_labs_at_once(lab):
    with Lab() as other:
        other.cut("ii")
        other.prove_fault()
        lab.prove(1, ALL_WELL, "the first lab, undisturbed")


OWNER = """
import sys, time
sys.path.insert(0, {root!r})
from tests.lab.lab import Lab, exit_on_sigterm
from tests.lab.programs import start_echo
exit_on_sigterm()
with Lab() as lab:
    start_echo(lab)
    print(lab.prefix, flush=True)
    sys.stdin.read()
"""


def start_owner():
    owner = subprocess.Popen([sys.executable, "-c", OWNER.format(root=str(ROOT))], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    prefix = owner.stdout.readline().strip()
    assert re.fullmatch(r"jaga-[a-z0-9_]{8}", prefix)
    return owner, prefix


def is_gone(prefix):
    return prefix not in list_namespaces() and not (RUN_DIR / prefix).exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_leaves_nothing(number):
    owner, prefix = start_owner()
    owner.send_signal(number)
    assert owner.wait(60) != 0
    assert is_gone(prefix)


def test_clean_takes_the_dead_and_leaves_the_living(lab, capsys):
    owner, prefix = start_owner()
    owner.kill()
    owner.wait()
    assert not is_gone(prefix)
    echo = next(int(pid) for pid in os.popen(f"ip netns pids {prefix}-inet").read().split())
    clean()
    assert is_gone(prefix)
    assert not os.path.exists(f"/proc/{echo}/exe")
    assert not is_gone(lab.prefix)
    told = capsys.readouterr().out
    assert f"{prefix}: removed" in told and f"{lab.prefix}: in use, left alone" in told
