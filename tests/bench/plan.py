"""make bench-plan: what a fail-over costs in the kernel: the transaction on the two maps, and the flush.

The Linux driver (routerctl) on the lab's router, 60 buckets. A fail-over moves every bucket of uplink 1 and its
live entry; each is one nfnetlink batch, from building it to the kernel's acknowledgement. Flows for the
flush are UDP packets that nobody answers.

Writes build/bench/plan.json; figures are microseconds of one call.
"""
import argparse
import json
import os
import pathlib
import sys

from tests.lab.lab import INTERNET, Lab, LabError, exit_on_sigterm
from tests.lab.programs import start_echo
from tests.netns.router import RouterCtl

OUT = pathlib.Path("build/bench")
ROUNDS = 2000
FLOWS = 60000

SEND = """
import socket, sys
count, addresses, sent = int(sys.argv[1]), sys.argv[2:], 0
for client in range(2, 52):
    for port in range(20000, 20000 + count // 50 // len(addresses)):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((f"10.0.0.{client}", port))
        for address in addresses:
            sock.sendto(b"x", (address, 9))
            sent += 1
        sock.close()
print(sent)
"""


def open_flows(lab, count):
    lab.lan.run("/usr/bin/python3", "-c", SEND, str(count), *INTERNET, timeout=120)
    seen = int(lab.rtr.run("conntrack", "-C").stdout)
    if seen < count * 0.95:
        raise LabError(f"{seen} flows are tracked, not {count}")


def measure(rounds, flows):
    with Lab(ipv6=False) as lab:
        start_echo(lab)
        ctl = RouterCtl(lab)
        ctl.run("take_over")
        figures = {}

        def batch(name):
            answer = ctl.run(f"bench 0 {rounds}")
            figures["elements"] = int(answer["elements"])
            for key in ("p50_us", "p99_us", "max_us"):
                figures[f"{name}_{key}"] = int(answer[key])
        batch("apply")
        # Nobody answers: ISP 1 forwards nothing, and port 9 is closed at the other.
        lab.cut("ii", 1)
        ctl.run("apply bucket=0")
        lab.rtr.run("sysctl", "-qw", "net.netfilter.nf_conntrack_udp_timeout=600")
        open_flows(lab, flows)
        ctl.run("apply")
        batch("apply_with_flows")
        figures["flows"] = int(lab.rtr.run("conntrack", "-C").stdout)
        answer = ctl.run("time_flush 0 unreplied")
        figures["flush_unreplied_flows"], figures["flush_unreplied_us"] = int(answer["flows"]), int(answer["us"])
        ctl.run("apply bucket=0")
        open_flows(lab, flows)
        answer = ctl.run("time_flush 0 all")
        figures["flush_all_flows"], figures["flush_all_us"] = int(answer["flows"]), int(answer["us"])
        open_flows(lab, flows)
        ctl.run("one_by_one")
        answer = ctl.run("time_flush 0 unreplied")
        figures["flush_one_by_one_flows"], figures["flush_one_by_one_us"] = int(answer["flows"]), int(answer["us"])
        if min(figures["flush_unreplied_flows"], figures["flush_all_flows"], figures["flush_one_by_one_flows"]) < flows * 0.9:
            raise LabError(f"flows were left over: {figures}")
        ctl.run("remove")
        return figures


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default="build/host")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--flows", type=int, default=FLOWS)
    arguments = parser.parse_args()
    os.environ["JAGA_BUILD"] = arguments.build
    exit_on_sigterm()
    try:
        figures = measure(arguments.rounds, arguments.flows)
    except LabError as error:
        print(f"bench-plan: {error}", file=sys.stderr)
        return 1
    OUT.mkdir(parents=True, exist_ok=True)
    part = OUT / "plan.json.part"
    part.write_text(json.dumps(figures, indent=2) + "\n")
    part.rename(OUT / "plan.json")
    for name, value in figures.items():
        print(f"  {name:28} {value:>10}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
