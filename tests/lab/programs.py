"""The programs that a laboratory runs, each as a small object: the measuring tools, and Jaga's own
three commands with a configuration of their own in the lab's directory.

Nothing here is faked: `Agent`, `Collector` and `Cli` start the real binaries of the build under test.
"""
import json
import os
import pathlib
import subprocess
import sys

from tests.lab.lab import COLLECTOR, INTERNET, INTERNET6, UPLINKS, LabError, wait_until

ROOT = pathlib.Path(__file__).resolve().parents[2]
PORT = 7
COLLECTOR_PORT = 5684
CLI_UNREACHABLE = 4


def build_dir():
    """The build under test: JAGA_BUILD, as `make check` sets it."""
    return ROOT / os.environ.get("JAGA_BUILD", "build/host")


def key_values(line):
    """{"a": "1", "b": "x"} of "a=1 b=x"."""
    return dict(word.split("=", 1) for word in line.split() if "=" in word)


class Piped:
    """A tool that answers commands on its stdin."""

    def __init__(self, program):
        self.program = program

    def read_line(self):
        line = self.program.popen.stdout.readline()
        if not line:
            raise LabError(f"{self.program.name} ended: {self.program.read_log()[-1000:]}")
        return line.rstrip("\n")

    def write(self, line):
        self.program.popen.stdin.write(line + "\n")
        self.program.popen.stdin.flush()

    def close(self):
        self.program.popen.stdin.close()
        self.program.popen.stdout.close()
        self.program.stop()


def start_echo(lab):
    """The internet answers on port 7 of all its addresses."""
    program = lab.inet.start("echod", build_dir() / "tests/lab/echod", PORT)
    program.wait_log("ready")
    return program


class LanProbe(Piped):
    """lanprobe: what a LAN client sees every 10 ms (its head comment says what counts)."""

    def __init__(self, lab, via=1, measure=4, control=2, family=4):
        address, destinations = ("address", INTERNET) if family == 4 else ("address6", INTERNET6)
        super().__init__(lab.lan.start("lanprobe", build_dir() / "tests/lab/lanprobe", "--via", UPLINKS[via][address],
                                       "--measure", measure, "--control", control, *destinations, piped=True))
        self.seen_as = {}
        while True:
            line = self.read_line()
            pairs = key_values(line)
            if line.startswith("ready"):
                self.measured, self.control = int(pairs["measured"]), int(pairs["control"])
                break
            self.seen_as[pairs["destination"]] = pairs["seen_as"]

    def reset(self):
        self.write("reset")

    def report(self):
        """(summary {name: float}, [stream {name: text}])"""
        self.write("report")
        streams = []
        while True:
            line = self.read_line()
            if line.startswith("stream="):
                streams.append(key_values(line))
            elif line == "end":
                return summary, streams
            else:
                summary = {key: float(value) for key, value in key_values(line).items()}

    def wait_ticks(self, ticks, timeout_s):
        """Until that many more ticks of every stream have their verdict, and the newest succeeded."""
        def count():
            return [int(s["ok"]) + int(s["failed"]) for s in self.report()[1] if s["stream"] != "tcp"]
        before = count()

        def is_settled():
            return (self.report()[0]["silent_ms"] < 100
                    and all(now - then >= ticks for now, then in zip(count(), before)))
        wait_until(is_settled, timeout_s, "every measured stream works", poll_s=0.05)

    def cut(self, lab, fault, number=1, timeout_s=30):
        """Breaks the uplink in a fresh window and waits until the LAN is online again: (summary, streams)."""
        self.reset()
        lab.cut(fault, number)
        self.wait_ticks(40, timeout_s)  # 400 ms: a tick that the cut met has its verdict after 250
        report = self.report()
        lab.prove_fault(number)
        return report


class Flows(Piped):
    """flows.py: many users' connections, held."""

    def __init__(self, lab):
        super().__init__(lab.lan.start("flows", sys.executable, "-m", "tests.lab.flows", piped=True,
                                       env={"PYTHONPATH": str(ROOT)}))

    def ask(self, command):
        self.write(command)
        return json.loads(self.read_line())

    def open(self, count, family=4):
        return self.ask(f"open {count} {family}")

    def check(self):
        return self.ask("check")

    def drop(self):
        return self.ask("drop")


class Agent:
    """jaga-agent on the lab's router, with files of its own below the lab's directory."""

    def __init__(self, lab, name="rtr1", collector=False, gateway="auto", uplinks=(1, 2), weights=(1, 1), ipv6=True,
                 agent_lines="", uplink_lines="", snapshot_lines=""):
        self.lab, self.name, self.program = lab, name, None
        self.dir = lab.dir / name
        self.dir.mkdir(exist_ok=True)
        self.conf, self.key = self.dir / "agent.conf", self.dir / "agent.key"
        self.socket, self.state = self.dir / "agent.sock", self.dir / "state"
        self.binary = build_dir() / "jaga-agent"
        sections = "".join(self._uplink(n, weight, gateway, ipv6, uplink_lines) for n, weight in zip(uplinks, weights))
        report = f"identity = {name}\ncollector = {COLLECTOR}:{COLLECTOR_PORT}\n" if collector else ""
        self.conf.write_text(
            f"[agent]\n{report}key_file = {self.key}\nstate_dir = {self.state}\nsocket = {self.socket}\n{agent_lines}\n"
            f"[lan]\ninterfaces = lan0\n{sections}"
            + (f"[snapshot]\n{snapshot_lines}\n" if snapshot_lines else ""))

    @staticmethod
    def _uplink(number, weight, gateway, ipv6, lines):
        uplink = UPLINKS[number]
        v4 = uplink["gateway"] if gateway == "static" else "auto"
        v6 = f"gateway6 = {uplink['gateway6'] if gateway == 'static' else 'auto'}\nnat6 = yes\n" if ipv6 else ""
        return (f"[uplink isp{number}]\ninterface = {uplink['dev']}\ngateway = {v4}\n{v6}weight = {weight}\n"
                f"targets = {INTERNET[0]}, {INTERNET[10]}\n{lines}\n")

    def argv(self, *arguments):
        return [self.binary, "--config", self.conf, *arguments]

    def start_argv(self):
        """How the service itself is started."""
        return self.argv()

    def start(self, wait=True):
        offset = 0
        log = self.lab.dir / f"{self.name}.log"
        if log.exists():
            offset = len(log.read_text(errors="replace"))
        self.program = self.lab.rtr.start(self.name, *self.start_argv())
        if wait:
            wait_until(lambda: self.answers(offset), 10, f"{self.name} answers on its socket")
        return self

    def answers(self, offset=0):
        if not self.program.is_running():
            raise LabError(f"{self.name} ended with {self.program.popen.returncode}:\n"
                           + self.program.read_log()[offset:][-2000:])
        return self.run("uplinks", check=False).returncode == 0

    def run(self, *arguments, check=True, timeout=30):
        """One of the agent's own commands, on the router."""
        return self.lab.rtr.run(*self.argv(*arguments), check=check, timeout=timeout)

    def uplinks(self):
        """{uplink name: row} as `jaga-agent uplinks --json` tells."""
        return {row["name"]: row for row in json.loads(self.run("uplinks", "--json").stdout)}

    def status(self):
        row = json.loads(self.run("status", "--json").stdout)
        return row[0] if isinstance(row, list) else row

    def state_of(self, number):
        return self.uplinks()[f"isp{number}"]["state"]

    def wait_state(self, number, state, timeout_s):
        wait_until(lambda: self.state_of(number) == state, timeout_s, f"uplink isp{number} is {state}")

    def stop(self):
        return self.program.stop()

    def kill(self):
        return self.program.kill()

    def enroll(self, cli):
        """A key from the collector, as a technician gets it."""
        cli.run("enroll", self.name, "--out", self.dir / "enrolled")
        self.take_key()

    def take_key(self):
        """Carries agent.key of `jaga enroll` to its place on the router."""
        self.key.write_bytes((self.dir / "enrolled" / "agent.key").read_bytes())
        self.key.chmod(0o600)


class Collector:
    """jaga-collector on its own host beyond the internet."""

    def __init__(self, lab, lines="", store=None):
        self.lab, self.program = lab, None
        self.conf, self.socket = lab.dir / "collector.conf", lab.dir / "collector.sock"
        self.store = store or lab.dir / "store"
        self.binary = build_dir() / "jaga-collector"
        address = f"{COLLECTOR}:{COLLECTOR_PORT}"
        self.conf.write_text(f"[collector]\nlisten = {address}\nadvertise = {address}\n{lines}\n"
                             f"[store]\npath = {self.store}\nsize = 64M\n[control]\nsocket = {self.socket}\n")

    def start(self, wait=True):
        self.program = self.lab.srv.start("collector", self.binary, "--config", self.conf)
        if wait:
            wait_until(self.answers, 10, "the collector answers on its socket")
        return self

    def answers(self):
        if not self.program.is_running():
            raise LabError(f"collector ended with {self.program.popen.returncode}:\n{self.program.read_log()[-2000:]}")
        return self.socket.exists() and Cli(self).run("status", check=False).returncode != CLI_UNREACHABLE

    def stop(self):
        return self.program.stop()

    def kill(self):
        return self.program.kill()


class Cli:
    """jaga, the technician's command, at the collector's socket."""

    def __init__(self, collector):
        self.collector = collector
        self.binary = build_dir() / "jaga"

    def argv(self, *arguments):
        return [str(self.binary), "--socket", str(self.collector.socket), *map(str, arguments)]

    def run(self, *arguments, check=True, timeout=60):
        try:
            done = subprocess.run(self.argv(*arguments), text=True, capture_output=True, timeout=timeout, check=False)
        except subprocess.TimeoutExpired:
            raise LabError(f"jaga {' '.join(map(str, arguments))}: no end within {timeout} s") from None
        if check and done.returncode != 0:
            raise LabError(f"jaga {' '.join(map(str, arguments))}: exit {done.returncode}: {done.stderr.strip()}")
        return done

    def rows(self, *arguments):
        """The rows of --json, whether they come as an array or a line each."""
        out = self.run(*arguments, "--json").stdout.strip()
        if out.startswith("["):
            return json.loads(out)
        return [json.loads(line) for line in out.splitlines()]

    def device(self, name):
        return next((row for row in self.rows("devices") if row["name"] == name), None)

    def wait_online(self, name, online=True, timeout_s=15):
        return wait_until(lambda: (row := self.device(name)) and row["online"] == online and row, timeout_s,
                          f"{name} is {'online' if online else 'offline'}")

    def wait_event(self, device, timeout_s=15, **wanted):
        """The newest event of the device that has these values."""
        def look():
            rows = self.rows("events", "--device", device)
            return next((row for row in reversed(rows) if all(row.get(k) == v for k, v in wanted.items())), None)
        return wait_until(look, timeout_s, f"{device} reports {wanted}")
