"""make demo: Jaga's main job, shown in a laboratory on this machine.

Real programs, nothing simulated but the internet: jaga-collector, jaga-agent, and the technician's
jaga, on hosts that are network namespaces (tests/lab/lab.py). Each step first proves what it builds on, then shows
what happened and measures it. Exits with 1 when any step did not happen, and cleans up in any case.

    KEEP=1   stays at the end, to look around, until Enter
"""
import argparse
import contextlib
import os
import sys
import textwrap
import time

from tests.lab.lab import INTERNET, UPLINKS, Lab, LabError, exit_on_sigterm, wait_until
from tests.lab.programs import Agent, Cli, Collector, Flows, LanProbe, start_echo

NAME = "rtr1"
SCRIPT = """echo "hello from $(hostname), kernel $(uname -r)"
ip -br address show dev wan1
nft list tables
"""


class Story:
    """Tells the steps, collects the figures."""

    def __init__(self, steps):
        self.steps, self.number, self.figures, self.began = steps, 0, [], time.monotonic()

    @contextlib.contextmanager
    def step(self, title):
        self.number += 1
        print(f"\n[{self.number}/{self.steps}] {title}", flush=True)
        try:
            yield
        except LabError as error:
            raise LabError(f"step {self.number} ({title}) did not happen: {error}") from error

    @staticmethod
    def say(text):
        print(textwrap.fill(text, 110, initial_indent="    ", subsequent_indent="    "), flush=True)

    @staticmethod
    def show(text, lines=12):
        shown = text.rstrip().splitlines()
        for line in shown[:lines]:
            print(f"      | {line[:118]}")
        if len(shown) > lines:
            print(f"      | ... and {len(shown) - lines} lines more")
        sys.stdout.flush()

    def measure(self, what, value):
        self.figures.append((what, value))

    def print_figures(self):
        width = max(len(what) for what, _ in self.figures)
        print("\n  What was measured")
        print("  " + "-" * (width + 26))
        for what, value in self.figures:
            print(f"  {what:{width}}  {value}")
        print("  " + "-" * (width + 26))


def expect(condition, otherwise):
    if not condition:
        raise LabError(otherwise)


class Demo:
    def __init__(self, lab):
        self.lab, self.story = lab, Story(9)
        self.collector = self.cli = self.agent = self.probe = self.flows = None

    def jaga(self, *arguments, lines=12, accept=(0,)):
        """Runs the technician's command and shows it as typed."""
        print(f"      $ jaga {' '.join(map(str, arguments))}")
        done = self.cli.run(*arguments, check=False)
        if done.returncode not in accept:
            raise LabError(f"jaga {arguments[0]}: exit {done.returncode}: {done.stderr.strip()}")
        self.story.show(done.stdout, lines)
        return done.stdout

    # --- the steps, in order -----------------------------------------------------------------

    def build(self):
        with self.story.step("A laboratory: LAN, router, two providers, the internet"):
            start_echo(self.lab)
            for number in UPLINKS:
                self.lab.prove(number, (True, True, True), "a fresh uplink")
            self.story.say(f"Namespaces {self.lab.prefix}-lan, -rtr, -isp1, -isp2, -inet, -srv. 50 users in the LAN, 20 servers "
                           "in the internet; each provider drops packets that are not from its own customer's address.")

    def start(self):
        with self.story.step("The collector, the router's enrolment, the agent"):
            self.collector = Collector(self.lab).start()
            self.cli = Cli(self.collector)
            self.agent = Agent(self.lab, NAME, collector=True, agent_lines="scripts = unsigned")
            self.jaga("enroll", NAME, "--out", self.agent.dir / "enrolled", lines=6)
            self.agent.take_key()
            began = time.monotonic()
            self.agent.start()
            self.cli.wait_online(NAME)
            self.story.measure("agent started, online at the collector", f"{(time.monotonic() - began) * 1000:.0f} ms")
            for number in UPLINKS:
                self.agent.wait_state(number, "up", 10)
            self.jaga("devices")

    def split(self):
        with self.story.step("Users' connections are split over both uplinks"):
            self.flows = Flows(self.lab)
            before = {n: self.lab.carried(n) for n in UPLINKS}
            opened = self.flows.open(400)
            carried = {n: self.lab.carried(n) - before[n] for n in UPLINKS}
            expect(opened["failed"] == 0, f"{opened['failed']} of 400 connections failed")
            share = {n: opened["by"].get(UPLINKS[n]["address"], 0) for n in UPLINKS}
            expect(min(share.values()) >= 100, f"not split: {share}")
            expect(min(carried.values()) >= 100, f"a provider carried nothing: {carried}")
            self.story.say(f"400 connections from 50 users to 20 servers; the servers saw {share[1]} of them come from "
                           f"{UPLINKS[1]['address']} (ISP 1) and {share[2]} from {UPLINKS[2]['address']} (ISP 2). The providers "
                           f"counted {carried[1]} and {carried[2]} packets.")
            self.story.measure("connections by ISP 1 / ISP 2", f"{share[1]} / {share[2]} of 400")
            self.flows.drop()

    def snapshot(self):
        with self.story.step("The router hands in its configuration"):
            self.jaga("snapshots", NAME, "--take", lines=4)
            rows = self.cli.rows("snapshots", NAME)
            expect(len(rows) == 1, f"{len(rows)} snapshots instead of one")
            self.jaga("snapshots", NAME)
            self.story.measure("snapshot, as text / as stored", f"{rows[0]['bytes']} / {rows[0]['stored_bytes']} bytes")

    def cut(self):
        with self.story.step("ISP 1 stops forwarding, behind a gateway that still answers ping"):
            self.probe = LanProbe(self.lab)
            expect(self.probe.measured >= 2, "no destinations that use ISP 1")
            self.probe.wait_ticks(100, 10)
            carried = self.lab.carried(1)
            wait_until(lambda: self.lab.carried(1) > carried, 2, "ISP 1 carries flows before the cut")
            self.story.say(f"A LAN client opens a new connection and sends a datagram every 10 ms to {self.probe.measured} servers "
                           "that it reaches by ISP 1 (the servers see ISP 1's address; ISP 1's counters rise). Now the cut.")
            summary, streams = self.probe.cut(self.lab, "ii")
            moved = [s["seen_as"] == UPLINKS[2]["address"] for s in streams
                     if s["stream"] == "udp" and s["role"] == "measured"]
            expect(all(moved), "flows did not move to ISP 2")
            self.story.say(f"The gateway {UPLINKS[1]['gateway']} answers ping, nothing beyond it does. The LAN was offline for "
                           f"{summary['outage_ms']:.0f} ms; its flows go by ISP 2.")
            self.story.measure("outage: new connections", f"{summary['connect_gap_ms']:.0f} ms")
            self.story.measure("outage: an existing UDP flow", f"{summary['udp_gap_ms']:.0f} ms")
            self.story.measure("users on ISP 2 meanwhile: longest gap", f"{summary['control_gap_ms']:.0f} ms")
            self.probe.close()

    def event(self):
        with self.story.step("The collector knows, with the evidence"):
            event = self.cli.wait_event(NAME, kind="uplink", uplink="isp1", to="down")
            self.jaga("events", "--device", NAME, "--limit", 4)
            expect(event["probes"] and event["misses"] >= event["misses_needed"], f"no evidence in {event}")
            lost = ", ".join(f"{p['lost']} of {p['sent']} to {p['target']}" for p in event["probes"])
            self.story.say(f"Evidence: probes lost {lost}; detected in {event['detect_us'] / 1000:.0f} ms, switched in "
                           f"{event['switch_us'] / 1000:.2f} ms, {event['flows_moved']} flows moved, now carried by {event['carried_by']}.")
            self.story.measure("agent: detection / switch", f"{event['detect_us'] / 1000:.0f} / {event['switch_us'] / 1000:.2f} ms")

    def drain(self):
        with self.story.step("ISP 1 returns, and flows drain back without a cut"):
            opened = self.flows.open(100)
            expect(opened["by"] == {UPLINKS[2]["address"]: 100}, f"during the fault connections went {opened}")
            self.story.say("100 connections are opened during the fault: all by ISP 2. Then ISP 1 comes back.")
            began = time.monotonic()
            self.lab.restore(1)
            self.agent.wait_state(1, "up", 60)
            back_s = time.monotonic() - began
            held = self.flows.check()
            expect(held["alive"] == 100, f"{100 - held['alive']} connections were cut by the way back")
            again = self.flows.open(400)
            share = {n: again["by"].get(UPLINKS[n]["address"], 0) for n in UPLINKS}
            expect(again["failed"] == 0 and min(share.values()) >= 100, f"new connections went {again}")
            self.story.say(f"Trusted again after {back_s:.1f} s. All 100 old connections live on by ISP 2; of 400 new ones "
                           f"{share[1]} went by ISP 1.")
            self.story.measure("ISP 1 trusted again after", f"{back_s:.1f} s")
            self.story.measure("connections cut by the way back", f"{100 - held['alive']} of 100")
            self.flows.close()

    def diff(self):
        with self.story.step("The configuration is changed, and the difference shows"):
            self.lab.rtr.ip("route", "add", "10.77.0.0/16", "via", "10.0.0.2")
            self.story.say("Somebody adds a route on the router: ip route add 10.77.0.0/16 via 10.0.0.2")
            self.jaga("snapshots", NAME, "--take", lines=4)
            out = self.jaga("diff", NAME, lines=20, accept=(1,))
            expect("+" in out and "10.77.0.0/16" in out, "the difference does not show the new route")

    def push(self):
        with self.story.step("A script goes to the router and its output comes back"):
            path = self.lab.dir / "look-around.sh"
            path.write_text(SCRIPT)
            began = time.monotonic()
            out = self.jaga("push", NAME, path, "--wait")
            expect("hello from" in out and "wan1" in out, "the script's output did not come back")
            self.story.measure("script pushed, run, output back", f"{(time.monotonic() - began) * 1000:.0f} ms")

    def play(self):
        for step in (self.build, self.start, self.split, self.snapshot, self.cut, self.event, self.drain, self.diff,
                     self.push):
            step()
        self.story.print_figures()

    def linger(self):
        """The laboratory stays until Enter."""
        jaga = f"{self.cli.binary} --socket {self.collector.socket}"
        print(f"\n  The laboratory stays until you press Enter. In another terminal, for example:\n"
              f"    {jaga} show {NAME}\n    {jaga} events --follow\n"
              f"    ip netns exec {self.lab.prefix}-rtr {' '.join(map(str, self.agent.argv('uplinks')))}")
        with contextlib.suppress(EOFError):
            input()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default="build/host")
    args = parser.parse_args()
    os.environ["JAGA_BUILD"] = args.build
    exit_on_sigterm()
    print("Jaga keeps the users of a router with two uplinks online. This shows it, in less than a minute.")
    with Lab() as lab:
        demo = Demo(lab)
        try:
            demo.play()
        except LabError as error:
            print(f"\ndemo: {error}", file=sys.stderr)
            for program in lab.programs:
                tail = program.read_log()[-1500:]
                if tail:
                    print(f"--- {program.name}\n{tail}", file=sys.stderr)
            return 1
        if os.environ.get("KEEP"):
            demo.linger()
    print(f"\n  All of it happened, and everything is cleaned up. To try next:\n"
          f"    make demo KEEP=1          the same, and the laboratory stays to look around in\n"
          f"    {args.build}/jaga --help   what a technician can ask\n"
          f"    make bench-failover       the outage over many repetitions, beside a ping loop and keepalived")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("demo: interrupted; everything is cleaned up", file=sys.stderr)
        sys.exit(130)
