"""A day of an agent's life in minutes: heap growth and writes to flash (part of make bench-footprint).

The agent, its kernel (namespaces) and the collector are the real ones; tests/lab/skipclock.c leaves out the time
in which the agent would sleep. Every virtual hour has a fail-over and the snapshot of the default interval; in turn
come a lost carrier, a restarted collector (the session is lost and shaken hands for anew), a pushed script and an operator's
force. Samples go out every minute as by default. The first hour has all of them once, so that whatever is
allocated at first use is there; growth is what the 24 hours after it add, looked at once an hour when nothing is under way:

    heap_growth_bytes       in use, by the allocator's own count (mallinfo2): the least of the last six hours less that of the
                            first six. A block that comes out 16 bytes larger than was asked for is no growth; a leak is
    heap_held_growth_bytes  what the allocator holds of the system, from the first hour to the last
    rss_growth_kb           resident memory, code and stack too

Writes are those of the agent and its children below its state directory (writes.py). flash_bytes is what they were asked to write,
flash_page_bytes the same in whole pages; apart from that the part of the journal and that of save points, and how many records of the
journal a pushed script takes, which has a way back as by default.
"""
import mmap
import os
import re
import signal
import struct
import time

from tests.bench.writes import STRACE, read_writes
from tests.lab.lab import Lab, LabError, wait_until
from tests.lab.programs import Agent, Cli, Collector, build_dir, start_echo

HOUR_S = 3600
FLASH_FIGURES = {"bytes": "bytes", "page_bytes": "page_bytes", "writes": "operations", "journal_page_bytes": "journal_page_bytes",
                 "savepoint_page_bytes": "savepoint_page_bytes"}  # as footprint.json names them: as writes.py does


class Clock:
    """The file of skipclock.c: the clock that the programs share."""
    FORMAT = "=6q"  # offset, until, skips, heap in use, heap held, reached

    def __init__(self, path):
        self.path = path
        with open(path, "w+b") as file:
            file.truncate(mmap.PAGESIZE)
            self.memory = mmap.mmap(file.fileno(), mmap.PAGESIZE)

    def read(self):
        return struct.unpack_from(self.FORMAT, self.memory)

    def now_us(self):
        return int(time.clock_gettime(time.CLOCK_MONOTONIC) * 1e6) + self.read()[0]

    def run_for(self, seconds):
        """Until so much virtual time has passed; (heap in use, heap held) of the agent then."""
        until_us = self.now_us() + int(seconds * 1e6)
        struct.pack_into("=q", self.memory, 8, until_us)
        wait_until(lambda: self.read()[5] == until_us, 60 + seconds / 20, f"{seconds} virtual seconds pass")
        return self.read()[3:5]

    def environment(self, lead=False):
        words = [f"LD_PRELOAD={build_dir() / 'tests/lab/skipclock.so'}", f"SKIPCLOCK={self.path}",
                 "GLIBC_TUNABLES=glibc.malloc.tcache_count=0"]  # what it keeps there counts as in use
        return ["env", *words, *(["SKIPCLOCK_LEAD=1"] if lead else [])]


class Day:
    """The lab with everything in it, and what happens in an hour."""

    def __init__(self, lab):
        self.lab, self.clock = lab, Clock(lab.dir / "clock")
        self.trace = lab.dir / "writes"
        start_echo(lab)
        self.collector = Collector(lab)
        self.start_collector()
        self.cli = Cli(self.collector)
        self.agent = Agent(lab, collector=True, agent_lines="scripts = unsigned")
        self.agent.enroll(self.cli)
        self.agent.program = lab.rtr.start(
            self.agent.name, *STRACE, "-o", self.trace, *self.clock.environment(lead=True), *self.agent.argv())
        wait_until(self.agent.answers, 20, "the agent answers on its socket")
        self.cli.wait_online(self.agent.name)
        self.pid = int((self.agent.state / "agent.pid").read_text())
        self.jobs = 0

    def start_collector(self):
        self.collector.program = self.lab.srv.start("collector", *self.clock.environment(), self.collector.binary,
                                                    "--config", self.collector.conf)
        wait_until(self.collector.answers, 10, "the collector answers on its socket")

    def fail_over(self, fault):
        self.lab.cut(fault)
        self.clock.run_for(20)
        self.expect("down")
        self.lab.restore()
        self.clock.run_for(120)
        self.expect("up")

    def expect(self, state):
        seen = self.agent.state_of(1)
        if seen != state:
            raise LabError(f"isp1 is {seen}, not {state}")

    def restart_collector(self):
        self.collector.stop()
        self.clock.run_for(120)
        self.start_collector()
        self.clock.run_for(600)  # the back-off ends after 300 s at most
        self.expect_session()

    def expect_session(self):
        wait_until(lambda: self.agent.status()["session"] == "open", 10, "the session is open")

    def push(self):
        script = self.lab.dir / "job.sh"
        script.write_text(f"echo {self.jobs}\n")
        self.jobs += 1
        self.cli.run("push", self.agent.name, script, "--wait")

    def force(self):
        self.agent.run("force", "isp2", "--for", "5m")
        self.clock.run_for(360)

    def stop(self):
        os.kill(self.pid, signal.SIGTERM)  # not strace, which would keep it
        self.agent.program.wait()

    def hour(self, number):
        """One hour of virtual time; what happens depends on its number, 0 has everything."""
        end_us = self.clock.now_us() + HOUR_S * 1_000_000
        self.clock.run_for(300)
        self.fail_over("ii")
        if number % 3 == 0:
            self.fail_over("i")
        if number % 4 == 0:
            self.restart_collector()
        if number % 6 == 0:
            self.push()
        if number % 8 == 0:
            self.force()
        self.clock.run_for((end_us - self.clock.now_us()) / 1e6)
        self.expect_session()
        return self.measure()

    def written(self):
        return read_writes(self.trace.read_text(errors="replace"), self.agent.state)

    def measure(self):
        """At a moment at which nothing is under way."""
        in_use, held = self.clock.run_for(7)
        return {"in_use": in_use, "held": held, "rss_kb": read_rss_kb(self.pid)}


def read_rss_kb(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return int(re.search(r"^VmRSS:\s+(\d+) kB", status.read(), re.M)[1])


def simulate(hours=24, say=print):
    with Lab() as lab:
        day = Day(lab)
        began = time.monotonic()
        first = day.hour(0)
        before, jobs, packets = day.written(), day.jobs, lab.carried(2)
        say(f"  first hour: {first['in_use']} bytes in use, {first['rss_kb']} KB resident; {hours} more follow")
        in_use = []
        for number in range(1, hours + 1):
            last = day.hour(number)
            in_use.append(last["in_use"])
            say(f"  hour {number:2}: in use {last['in_use'] - first['in_use']:+} bytes, held "
                f"{last['held'] - first['held']:+}, resident {last['rss_kb'] - first['rss_kb']:+} KB "
                f"({time.monotonic() - began:.0f} s so far)")
        events = len(day.cli.rows("events", "--device", day.agent.name))
        writes, jobs = day.written() - before, day.jobs - jobs
        packets = lab.carried(2) - packets
        day.stop()
    quarter = max(1, hours // 4)
    return {"heap_growth_bytes": min(in_use[-quarter:]) - min(in_use[:quarter]),
            "heap_held_growth_bytes": last["held"] - first["held"],
            "rss_growth_kb": last["rss_kb"] - first["rss_kb"], "heap_in_use_bytes": last["in_use"],
            **{f"flash_{what}_per_day": round(writes[key] * 24 / hours) for what, key in FLASH_FIGURES.items()},
            "flash_journal_records_per_script": -(-writes["journal_records"] // max(1, jobs)), "scripts_pushed": jobs,
            "simulated_hours": hours, "events_shown": events,
            "packets_of_one_uplink": packets, "seconds": round(time.monotonic() - began)}
