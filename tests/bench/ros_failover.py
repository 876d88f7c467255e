"""make bench-ros-failover: how long users behind a RouterOS router are offline when its line dies. The router is simulated.

The laboratory of bench-failover (tests/lab) with tests/rosim in the router's place and the agent on a machine beside it; the
same instrument in the LAN (lanprobe), the same fault: the provider forwards nothing any more, its gateway still answers.

    jaga        the agent steers: 20 runs on 7.21, 5 on 6.49; each fault at a random phase of its probes
    native      the agent has installed its plan, was killed, and nothing of Jaga runs: 10 on 7.21 (check-gateway of 1 s), 4 on 6.49
    contender   a set-up made by hand, without Jaga: PCC, recursive routes, check-gateway of 1 s: 10 on 7.21
    killed      the agent is killed while it steers, the line is mended: how long until both lines carry flows again, 2 on each

Of every run with the agent the configuration before and after is compared (/export), and the router's own count of changes
that it would write to its flash. A run in which the instrument itself was late, by more than 20 ms and a twentieth of the
outage, is done again. Runs that last seconds go four at a time, the others alone. Writes build/bench/ros-failover.json, flat.
"""
import argparse
import concurrent.futures
import contextlib
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import time

import librouteros

from tests.bench.failover import p95
from tests.lab.lab import INTERNET, UPLINKS, Lab, LabError, Namespace, exit_on_sigterm, wait_until
from tests.lab.programs import Flows, LanProbe, build_dir, start_echo
from tests.rosim.conntrack import enter_namespace
from tests.rosim.laboratory import configuration_of

OUT = pathlib.Path("build/bench")
ROSIM = pathlib.Path("tests/rosim/rosim")
ROUTER, PORT, PASSWORD = "192.168.89.1", 8728, "secret"
CHECK_HOSTS = {1: INTERNET[18], 2: INTERNET[19]}  # by which the router itself checks each line
PHASE_S = 2.0
LATE_MS = 20
VOID_LIMIT = 10
SIMULATED = "The router is simulated (tests/rosim): these figures are of no real RouterOS device."
TARGETS = {"jaga_v7_outage_p95_ms": 1000, "native_v7_outage_max_ms": 5000, "native_v6_outage_max_ms": 25000,
           "config_writes_during_failover": 0, "exports_changed_by_failover": 0, "killed_normal_again_max_s": 30}

ADDRESSES = "/ip address\n" + "".join(
    f"add address={UPLINKS[n]['address']}/24 interface=ether{n}\n" for n in UPLINKS) + (
    f"add address=10.0.0.1/24 interface=ether3\nadd address={ROUTER}/24 interface=ether4\n")
TUNED = "/routing settings set check-gateway-ping-interval=1s check-gateway-ping-timeout=1s check-gateway-ping-count=2\n"
BY_HAND = "/routing table\nadd fib name=to-ISP1\nadd fib name=to-ISP2\n/ip route\n" + "".join(
    f"add dst-address={CHECK_HOSTS[n]}/32 gateway={UPLINKS[n]['gateway']} scope=10\n"
    f"add check-gateway=ping distance={n} gateway={CHECK_HOSTS[n]} target-scope=11\n"
    f"add check-gateway=ping distance=1 gateway={CHECK_HOSTS[n]} routing-table=to-ISP{n} target-scope=11\n"
    f"add check-gateway=ping distance=2 gateway={CHECK_HOSTS[3 - n]} routing-table=to-ISP{n} target-scope=11\n" for n in UPLINKS) + (
    "/ip firewall mangle\n") + "".join(
    "add action=mark-connection chain=prerouting connection-mark=no-mark dst-address-type=!local in-interface=ether3 "
    f"new-connection-mark=ISP-{n} per-connection-classifier=both-addresses:2/{n - 1}\n" for n in UPLINKS) + "".join(
    f"add action=mark-routing chain=prerouting connection-mark=ISP-{n} in-interface=ether3 new-routing-mark=to-ISP{n}\n"
    for n in UPLINKS) + "/ip firewall nat\n" + "".join(f"add action=masquerade chain=srcnat out-interface=ether{n}\n" for n in UPLINKS)


class RosLab(Lab):
    """Lab with a simulated RouterOS router: ether1 and ether2 are its lines, ether3 the LAN, and behind ether4 a machine, `box`."""

    def __init__(self, personality, script=""):
        self.personality, self.router = personality, None
        super().__init__(ipv6=False)
        try:
            path = self.dir / "start.rsc"
            path.write_text(ADDRESSES + (TUNED if personality.startswith("7") else "") + script)
            self.router = self.rtr.start("rosim", sys.executable, ROSIM.resolve(), "--personality", personality, "--netns", self.rtr.name,
                                         "--api", f"{ROUTER}:{PORT}", "--password", PASSWORD, "--import", path)
            self.router.wait_log("ready", 20)
        except BaseException:
            self.close()
            raise

    def device(self, number):
        return f"ether{number}"

    def _add_router(self):
        self.box = Namespace(self, "box")
        for host in (self.rtr, self.box):
            subprocess.run(["ip", "netns", "add", host.name], check=True)
        self._veth(self.lan, "lan0", self.rtr, "ether3")
        self._veth(self.rtr, "ether1", self.isp1, "cpe")
        self._veth(self.rtr, "ether2", self.isp2, "cpe")
        self._veth(self.rtr, "ether4", self.box, "port")

    def _address_router(self):
        self._configure(self.rtr, [f"ether{n}" for n in range(1, 5)], [], [])
        self._configure(self.box, ["port"], [("port", f"192.168.89.{last}/24") for last in (2, 11, 12)], [f"default via {ROUTER}"])

    # --- asked over the API -----------------------------------------------------------------------

    def connect(self):
        def connect():
            enter_namespace(self.rtr.name)
            return librouteros.connect(host=ROUTER, port=PORT, username="admin", password=PASSWORD, timeout=10)
        with concurrent.futures.ThreadPoolExecutor(1) as thread:
            return thread.submit(connect).result()

    def api(self):
        return contextlib.closing(self.connect())

    def writes(self):
        """What the router would have written to its flash since it started."""
        with self.api() as api:
            return int(next(iter(api.path("system", "resource")))["write-sect-since-reboot"])

    def export(self):
        """Without the line that tells the time; of version 6, which exports to files only, menu by menu."""
        if self.personality.startswith("6"):
            return configuration_of(self, self.personality)
        with self.api() as api:
            text = "".join(reply.get("ret", "") for reply in api.rawCmd("/execute", "=script=/export", "=as-string="))
        return text.split("\n", 1)[1]

    def entries(self):
        with self.api() as api:
            return [row for row in api.path("ip", "firewall", "address-list") if row.get("comment") == "jaga: steering"]


class Agent:
    """jaga-agent on the machine beside the router."""

    def __init__(self, lab):
        self.lab, self.program = lab, None
        self.conf, self.socket = lab.dir / "agent.conf", lab.dir / "agent.sock"
        (lab.dir / "password").write_text(PASSWORD + "\n")
        uplinks = "".join(
            f"[uplink isp{n}]\ninterface = ether{n}\ngateway = {UPLINKS[n]['gateway']}\nsource = 192.168.89.1{n}\n"
            f"targets = {INTERNET[0]}, {INTERNET[10]}\ncheck_host = {CHECK_HOSTS[n]}\n" for n in UPLINKS)
        self.conf.write_text(
            f"[agent]\nstate_dir = {lab.dir}/state\nsocket = {self.socket}\n[router]\ndriver = routeros\n"
            f"address = {ROUTER}:{PORT}\nuser = admin\npassword_file = {lab.dir}/password\n[lan]\ninterfaces = ether3, ether4\n{uplinks}")

    def start(self):
        """Both lines are proven up, by probes."""
        self.program = self.lab.box.start("agent", build_dir() / "jaga-agent", "--config", self.conf)
        self.program.wait_log("agent: started", 20)
        wait_until(lambda: all(row["state"] == "up" and row["rtt_us"] for row in self.uplinks()), 20, "both lines are up", 0.1)
        return self

    def uplinks(self):
        done = self.lab.box.run(build_dir() / "jaga-agent", "--config", self.conf, "--json", "uplinks", check=False)
        return json.loads(done.stdout) if done.returncode == 0 else [{"state": None}]

    def down(self):
        """(detect_ms, switch_us) as the agent tells them of the line that is down."""
        match = self.program.wait_log(r"isp1 is down .*detect_ms=(\d+) switch_us=(\d+)", 10)
        return int(match.group(1)), int(match.group(2))


# --- runs ------------------------------------------------------------------------------------------------

def cut(lab, probe, timeout_s):
    """The fault and its end, as the LAN sees it: the figures of a run."""
    probe.wait_ticks(50, 5)
    carried = lab.carried(1)
    wait_until(lambda: lab.carried(1) > carried, 2, "ISP 1 carries traffic before the cut")
    summary, streams = probe.cut(lab, "ii", timeout_s=timeout_s)
    for stream in streams:
        if stream["stream"] == "udp" and stream["seen_as"] != UPLINKS[2]["address"]:
            raise LabError(f"after the cut UDP to {stream['destination']} is seen as {stream['seen_as']}")
    return {name: summary[name] for name in ("outage_ms", "connect_gap_ms", "udp_gap_ms", "control_gap_ms", "late_ms")}


@contextlib.contextmanager
def lan(lab):
    probe = LanProbe(lab)
    try:
        yield probe
    finally:
        probe.close()


def run_jaga(personality):
    with RosLab(personality) as lab:
        start_echo(lab)
        agent = Agent(lab).start()
        with lan(lab) as probe:
            time.sleep(3 + random.uniform(0, PHASE_S))  # 30 rounds of probes: round-trip times are learnt
            before = lab.export(), lab.writes()
            row = cut(lab, probe, 15)
            row["detect_ms"], switch_us = agent.down()
            row["switch_ms"] = switch_us / 1000
            row["export_changed"] = int(lab.export() != before[0])
            row["config_writes"] = lab.writes() - before[1]
    return row


def run_native(personality):
    with RosLab(personality) as lab:
        start_echo(lab)
        Agent(lab).start().program.kill()
        if lab.entries():
            raise LabError("the agent steered although every line was up")
        with lan(lab) as probe:
            time.sleep(random.uniform(0, PHASE_S))
            return cut(lab, probe, 40)


def run_contender(personality):
    with RosLab(personality, BY_HAND) as lab:
        start_echo(lab)
        wait_until(lambda: lab.lan.ping(INTERNET[0]), 10, "a way to the internet")
        with lan(lab) as probe:
            time.sleep(random.uniform(0, PHASE_S))
            return cut(lab, probe, 40)


def run_killed(personality):
    """The provider is well again when the agent dies: only its entries keep the flows from it."""
    with RosLab(personality) as lab:
        start_echo(lab)
        agent = Agent(lab).start()
        with lan(lab) as probe:
            cut(lab, probe, 15)
            wait_until(lambda: len(lab.entries()) >= 2, 5, "traffic is steered")
            probe.reset()
            lab.restore(1)
            agent.program.kill()
            killed = time.monotonic()
            flows = Flows(lab)
            wait_until(lambda: not lab.entries(), 35, "the entries end", 0.2)

            def carry():
                return set(flows.open(8)["by"]) == {UPLINKS[n]["address"] for n in UPLINKS}
            wait_until(carry, 35, "both lines carry flows", 0.2)
            normal_s = time.monotonic() - killed
            flows.close()
            summary, _ = probe.report()
    return {"normal_again_s": normal_s, "gap_meanwhile_ms": summary["outage_ms"], "late_ms": 0}


RUNS = {"jaga": run_jaga, "native": run_native, "contender": run_contender, "killed": run_killed}
ALONE = (("jaga", "7.21", 20), ("jaga", "6.49", 5))
TOGETHER = (("native", "6.49", 4), ("killed", "7.21", 2), ("killed", "6.49", 2), ("native", "7.21", 10), ("contender", "7.21", 10))


# --- the benchmark ---------------------------------------------------------------------------------------

def repeat(kind, personality, voided):
    while True:
        row = RUNS[kind](personality)
        figures = ", ".join(f"{name} {value:.1f}" for name, value in row.items())
        is_void = row["late_ms"] > max(LATE_MS, row.get("outage_ms", 0) / 20)
        print(f"  {kind} {personality}: {figures}" + ("  void: the instrument was late" if is_void else ""), flush=True)
        if not is_void:
            return row
        voided.append(row)
        if len(voided) > VOID_LIMIT:
            raise LabError("this machine is too busy to measure on: too many late ticks")


def run_all(shrink):
    rows, voided = {}, []
    for kind, personality, count in ALONE:
        rows[kind, personality] = [repeat(kind, personality, voided) for _ in range(max(1, count // shrink))]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        waiting = {(kind, personality): [pool.submit(repeat, kind, personality, voided) for _ in range(max(1, count // shrink))]
                   for kind, personality, count in TOGETHER}
        for series, futures in waiting.items():
            rows[series] = [future.result() for future in futures]
    return rows, len(voided)


def figures(rows, n_voided):
    values = {"router_is_simulated": True}
    for (kind, personality), found in rows.items():
        if kind == "killed":
            continue
        prefix = f"{kind}_v{personality[0]}"
        for what in ("outage", "connect_gap", "udp_gap"):
            of_rows = [row[f"{what}_ms"] for row in found]
            values[f"{prefix}_{what}_p50_ms"] = round(statistics.median(of_rows), 1)
            values[f"{prefix}_{what}_p95_ms"] = round(p95(of_rows), 1)
        values[f"{prefix}_outage_max_ms"] = round(max(row["outage_ms"] for row in found), 1)
        values[f"{prefix}_runs"] = len(found)
    steered = [row for (kind, _), found in rows.items() for row in found if kind == "jaga"]
    killed = [row for (kind, _), found in rows.items() for row in found if kind == "killed"]
    for what in ("detect", "switch"):
        values[f"jaga_{what}_p95_ms"] = round(p95([row[f"{what}_ms"] for row in steered]), 1)
    values["config_writes_during_failover"] = sum(row["config_writes"] for row in steered)
    values["exports_changed_by_failover"] = sum(row["export_changed"] for row in steered)
    values["killed_normal_again_max_s"] = round(max(row["normal_again_s"] for row in killed), 1)
    values["killed_gap_meanwhile_max_ms"] = round(max(row["gap_meanwhile_ms"] for row in killed), 1)
    values["voided_runs"] = n_voided
    return values


def print_figures(values):
    print(f"\n  {SIMULATED}\n  {'outage (ms)':16} {'p50':>8} {'p95':>8} {'max':>8}   runs")
    for prefix, name in (("jaga_v7", "Jaga, 7.21"), ("jaga_v6", "Jaga, 6.49"), ("native_v7", "no agent, 7.21"),
                         ("native_v6", "no agent, 6.49"), ("contender_v7", "by hand, 7.21")):
        print(f"  {name:16}" + "".join(f" {values[f'{prefix}_outage_{what}_ms']:8.0f}" for what in ("p50", "p95", "max"))
              + f"   {values[f'{prefix}_runs']}")
    for key, target in TARGETS.items():
        print(f"  {key} = {values[key]}: {'reached' if values[key] <= target else 'MISSED'} (to reach: <= {target})")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default="build/host")
    parser.add_argument("--shrink", type=int, default=1, help="so many times fewer runs, to try it; writes no figures")
    args = parser.parse_args()
    os.environ["JAGA_BUILD"] = args.build
    exit_on_sigterm()
    OUT.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    print(f"  {SIMULATED}")
    values = figures(*run_all(args.shrink))
    print_figures(values)
    print(f"  {time.monotonic() - began:.0f} s")
    if args.shrink == 1:
        (OUT / "ros-failover.json").write_text(json.dumps(values, indent=1) + "\n")
        print(f"  written: {OUT}/ros-failover.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
