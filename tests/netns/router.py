"""The Linux driver by hand: routerctl on the lab's router, and what nft, ip and conntrack say about it."""
import json
import os
import re
import select
import time

from tests.lab.lab import PATIENCE, LabError, wait_until
from tests.lab.programs import build_dir

ANSWER_S = 10 * PATIENCE
PROTOCOL = "74"  # LINUX_PROTOCOL of agent/router/linux.h
TABLES = {0: "7100", 1: "7101"}

CONF = """
[agent]
state_dir = {state}
mark_field = {mark_field}
hash = {hash}
[lan]
interfaces = {lan}
[uplink isp1]
interface = wan1
gateway = {gateway1}
gateway6 = {gateway6}
nat = {nat1}
nat6 = {nat6}
weight = 60
targets = 203.0.113.1
[uplink isp2]
interface = wan2
gateway = {gateway2}
gateway6 = {gateway6b}
nat = {nat2}
nat6 = {nat6}
weight = 40
targets = 203.0.113.2
"""
DEFAULTS = {"mark_field": "0xff", "hash": "both-addresses", "lan": "lan0", "gateway1": "auto", "gateway2": "auto",
            "gateway6": "none", "nat1": "yes", "nat2": "yes", "nat6": "no"}


class CommandFailed(Exception):
    """The driver refused; code is the errno's name."""

    def __init__(self, code, text):
        super().__init__(f"{code}: {text}")
        self.code, self.text = code, text


class RouterCtl:
    """One routerctl process in the router's namespace."""

    serial = 0

    def __init__(self, lab, conf=None, **fields):
        RouterCtl.serial += 1
        self.lab = lab
        self.conf = lab.dir / f"agent{RouterCtl.serial}.conf"
        given = {**DEFAULTS, **fields}
        given.setdefault("gateway6b", given["gateway6"])
        self.conf.write_text(conf or CONF.format(state=lab.dir / "state", **given))
        self.events = []
        self.program = lab.rtr.start(f"routerctl{RouterCtl.serial}", build_dir() / "tests/netns/routerctl", self.conf, piped=True)
        self._text = ""

    def _line(self, deadline):
        """The next line; None when there is none by the deadline, or the program ended."""
        fd = self.program.popen.stdout.fileno()
        while "\n" not in self._text:
            if not select.select([fd], [], [], max(0, deadline - time.monotonic()))[0]:
                return None
            more = os.read(fd, 65536).decode()
            if not more:
                return None
            self._text += more
        line, self._text = self._text.split("\n", 1)
        return line

    def send(self, command):
        self.program.popen.stdin.write(command + "\n")
        self.program.popen.stdin.flush()

    def run(self, command):
        """{key: value} of the answer; CommandFailed when it is an error. Traps are under "traps"."""
        self.send(command)
        traps, deadline = [], time.monotonic() + ANSWER_S
        while True:
            line = self._line(deadline)
            if line is None:
                raise LabError(f"no answer to {command!r}: {self.program.read_log()[-2000:]}")
            kind, _, rest = line.partition(" ")
            if kind == "event":
                self.events.append(rest)
            elif kind == "trap":
                level, _, rest = rest.partition(" ")
                ident, what, fix = (part.strip() for part in rest.split("\t"))
                traps.append({"level": level, "id": ident, "what": what, "fix": fix})
            elif kind == "error":
                raise CommandFailed(*rest.split(" ", 1))
            else:
                assert kind == "ok", line
                answer = dict(word.split("=", 1) for word in rest.split())
                if traps:
                    answer["traps"] = traps
                return answer

    def wait_event(self, text, timeout_s=5):
        """Waits for an event line that was not asked for yet."""
        def look():
            line = self._line(time.monotonic())
            if line is not None:
                assert line.startswith("event "), line
                self.events.append(line[6:])
            if text in self.events:
                self.events.remove(text)
                return True
            return False
        wait_until(look, timeout_s, f"event {text}", poll_s=0.001)

    def close(self):
        """End of input: as when the agent stops."""
        self.program.popen.stdin.close()
        assert self.program.wait() == 0, self.program.read_log()[-2000:]

    def traps(self, level=None):
        """{id: trap} of what the doctor finds (of that level)."""
        found = {}
        for trap in self.run("check").get("traps", []):
            if trap["level"] != "ok" and level in (None, trap["level"]):
                found.setdefault(trap["id"], trap)
        return found


def strace(lab, ctl, name, calls, *arguments):
    """strace on the driver, attached when what it does at its start is over."""
    ctl.run("state 0")
    tracer = lab.rtr.start(name, "strace", "-e", f"trace={calls}", *arguments, "-p", ctl.program.pid)
    tracer.wait_log("attached", 5)
    return tracer


def nft(lab, *argv):
    return lab.rtr.run("nft", "-n", *argv).stdout


def ruleset(lab):
    """All of nf_tables, without handles or counters."""
    return nft(lab, "-s", "list", "ruleset")


def rules(lab, family="-4", ours=None):
    """ip rules as lines; ours: only (or without) those of our protocol."""
    lines = [line.strip() for line in lab.rtr.ip(family, "rule").splitlines()]
    return [line for line in lines if ours is None or (f"proto {PROTOCOL}" in line) == ours]


def routes(lab, table, family="-4"):
    # `ip` fails for a table that does not exist yet.
    return [line.strip() for line in lab.rtr.ip(family, "route", "show", "table", table, check=False).splitlines()]


def full_state(lab):
    """Everything that a router's configuration is, to compare before and after."""
    sysctls = lab.rtr.run("sysctl", "-a", "-r", r"^net\.ipv[46]\.(conf\..*\.(rp_filter|ignore_routes_with_linkdown|"
                          r"src_valid_mark|forwarding)|ip_forward)").stdout
    return {
        "nft": ruleset(lab), "sysctls": sysctls,
        "rules": rules(lab), "rules6": rules(lab, "-6"),
        "routes": sorted(lab.rtr.ip("-4", "route", "show", "table", "all").splitlines()),
        "routes6": sorted(lab.rtr.ip("-6", "route", "show", "table", "all").splitlines()),
        "links": json.loads(lab.rtr.ip("-j", "link")),
        "addresses": re.sub(r"(valid|preferred)_lft \w+", "", lab.rtr.ip("addr")),
    }


def conntrack(lab, *argv):
    """Lines of the connection tracking table."""
    return lab.rtr.run("conntrack", "-L", *argv).stdout.splitlines()
