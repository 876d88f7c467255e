"""What the agent costs a 24Kc: instructions and memory in an emulated router (part of make bench-footprint).

The guest is the big-endian Malta of tests/guest with the agent of build/mips, two uplinks through namespaces of the host and a
native collector. QEMU's plugin tests/guest/insns.c counts every instruction of the guest, the kernel's too.

    start    from the exec of jaga-agent until the collector has acknowledged and stored its first report
    rest     agent running, session open, minus the same guest before it was started, for MEASURE_S each
    memory   VmRSS of /proc after ten minutes
    tracker  for comparison, in the same guest after the agent has ended: a busybox ash loop for each uplink that pings each
             target with a process of its own every 10 s, which is what mwan3track does with its defaults. The loop here is the
             bare minimum: mwan3's own script is longer and sources OpenWrt's libraries.
"""
import mmap
import struct
import tempfile
import time

from tests.guest.lab import GuestAgent, GuestLab
from tests.lab.lab import INTERNET, UPLINKS, LabError, wait_until
from tests.lab.programs import Cli, Collector, build_dir, start_echo

MEASURE_S = 120  # two samples, five keepalives
MEMORY_AFTER_S = 600
SETTLE_S = 5
TRACKER = """
while :; do
	for target in {targets}; do
		if ping -I {device} -c 1 -W 4 -s 56 -q $target >/dev/null 2>&1; then
			score=$((score < 10 ? score + 1 : 10))
		else
			score=$((score > 0 ? score - 1 : 0))
		fi
	done
	sleep 10 &
	wait
done
"""


class Counts:
    """The file of insns.c."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.memory = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)

    def read(self):
        """(instructions of programs, of the kernel)"""
        return struct.unpack_from("=2Q", self.memory)

    def rate(self, seconds):
        """Of both, a second, from now on."""
        before, began = self.read(), time.monotonic()
        time.sleep(seconds)
        elapsed = time.monotonic() - began
        return [(now - then) / elapsed for now, then in zip(self.read(), before)]


def has_report(cli, name):
    """The collector stores an agent's report before it acknowledges it; coming online is its own."""
    return cli.device(name) and any(row["kind"] != "online" for row in cli.rows("events", "--device", name))


def measure_start(lab, agent, counts, cli):
    lab.guest.put(str(agent.conf), agent.conf)
    lab.guest.wait_for("dmesg | grep -q 'crng init done'", 60)
    agent.program = lab.rtr.start(agent.name, "sh", "-c", f"sleep {SETTLE_S}; exec {' '.join(map(str, agent.argv()))}")
    time.sleep(SETTLE_S - 2)  # nobody talks to the guest from here on
    before = counts.read()
    wait_until(lambda: has_report(cli, agent.name), 60, "the first report is in the collector's store")
    return [now - then for now, then in zip(counts.read(), before)]


def read_rss_kb(lab, pids):
    lines = lab.guest.sh(f"cat {' '.join(f'/proc/{pid}/status' for pid in pids)} | grep VmRSS").splitlines()
    return [int(line.split()[1]) for line in lines]


def read_children(lab, pids):
    parents = "|".join(map(str, pids))
    return lab.guest.sh(f"awk '$4 ~ /^({parents})$/ {{print $1}}' /proc/[0-9]*/stat").split()


def measure_trackers(lab, counts, idle):
    targets = f"{INTERNET[0]} {INTERNET[10]}"  # as the agent had them
    loops = [lab.rtr.start(f"tracker{n}", "sh", "-c", TRACKER.format(targets=targets, device=UPLINKS[n]["dev"])) for n in UPLINKS]
    time.sleep(SETTLE_S)
    rate = counts.rate(MEASURE_S)
    pids = [loop.pid for loop in loops]
    memory = read_rss_kb(lab, pids)
    children = read_rss_kb(lab, read_children(lab, pids))
    for loop in loops:
        loop.stop()
    probes_per_s = len(loops) * 2 / 10
    return {"tracker_processes": len(memory) + len(children), "tracker_rss_kb": sum(memory) + sum(children),
            "tracker_instructions_per_s": round(sum(rate) - sum(idle)),
            "tracker_instructions_per_probe": round((sum(rate) - sum(idle)) / probes_per_s)}


def measure_agent(lab, counts, cli, values, say):
    """Start, rest and memory; returns the idle rate of (programs, kernel)."""
    agent = GuestAgent(lab, collector=True, ipv6=False)
    agent.enroll(cli)
    idle = counts.rate(MEASURE_S)
    say(f"  idle guest: {sum(idle):,.0f} instructions a second")
    start = measure_start(lab, agent, counts, cli)
    began = time.monotonic()
    values |= {"start_instructions": sum(start), "start_instructions_programs": start[0]}
    say(f"  start to first report: {sum(start):,} instructions, {start[0]:,} of them in programs")
    time.sleep(SETTLE_S)
    rest = counts.rate(MEASURE_S)
    values |= {"rest_instructions_per_s": round(sum(rest) - sum(idle)), "idle_instructions_per_s": round(sum(idle)),
               "rest_instructions_per_s_programs": round(rest[0] - idle[0])}
    say(f"  at rest: {values['rest_instructions_per_s']:,} instructions a second more than the idle guest; memory follows")
    time.sleep(max(0, MEMORY_AFTER_S - (time.monotonic() - began)))
    if agent.status()["session"] != "open":
        raise LabError("the session is not open after ten minutes")
    values["rss_kb"] = read_rss_kb(lab, [agent.program.pid])[0]
    agent.program.stop()
    agent.run("--remove")
    return idle


def measure(say=print):
    values = {}
    with tempfile.TemporaryDirectory() as directory:
        plugin = f"{build_dir() / 'tests/guest/insns.so'},out={directory}/insns"
        # With a source of entropy: a router collects it once a boot, and that is not the agent's work.
        with GuestLab("mips", ipv6=False, rng=True, extra=["-plugin", plugin]) as lab:
            counts = Counts(f"{directory}/insns")
            start_echo(lab)
            idle = measure_agent(lab, counts, Cli(Collector(lab).start()), values, say)
            values |= measure_trackers(lab, counts, idle)
    return values
