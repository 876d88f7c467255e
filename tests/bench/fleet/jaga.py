"""
Jaga as a contender: a collector on the server, an agent at each router, on its side of the slow line.

The agents run in the routers' own network namespaces, where a container or a machine beside the router would stand: they speak to the
router's API without the line in between, and what cuts the router off cuts them off too. They steer nothing (take_over = no), and run
scripts; all else is as it comes. What is timed are the two commands that a technician types, from start to exit:

    jaga push --all DIRECTORY --wait        the script of each router, with the confirmation that is the default
    jaga snapshots --all --take             durable in the collector's store
"""
import json
import os
import pathlib
import subprocess
import time

from tests.bench.fleet.contender import Contender, Result
from tests.bench.fleet.lab import PASSWORD, SERVER, USER
from tests.lab.lab import LabError, wait_until
from tests.lab.programs import COLLECTOR_PORT, build_dir

CONFIRM_S = 90  # what `jaga push` asks for by default
PATIENCE_S = CONFIRM_S + 120  # of a command: a router that cut itself off has gone back and told so by then
ONLINE_S = 60


class Jaga(Contender):
    name = "jaga"
    repetitions = 3
    recovers_within_s = 60  # beyond what the command has waited for
    push_options = ()

    def version(self):
        return subprocess.run([build_dir() / "jaga", "--version"], text=True, capture_output=True, check=True).stdout.strip()

    # --- before and after ---------------------------------------------------------------------------

    def start(self):
        self.directory = self.fleet.dir / "jaga"
        self.directory.mkdir()
        self.socket = self.directory / "collector.sock"
        (self.directory / "collector.conf").write_text(
            f"[collector]\nlisten = {SERVER}:{COLLECTOR_PORT}\nadvertise = {SERVER}:{COLLECTOR_PORT}\n"
            f"[store]\npath = {self.directory}/store\nsize = 64M\n[control]\nsocket = {self.socket}\n", encoding="utf-8")
        collector = self.fleet.srv.start("collector", build_dir() / "jaga-collector", "--config", self.directory / "collector.conf")
        wait_until(lambda: collector.is_running() and self.socket.exists() and self.run("devices").returncode == 0, 20,
                   "the collector answers")
        for device in self.fleet.devices:
            self.start_agent(device)
        wait_until(self.is_ready, ONLINE_S, "every agent is online and has handed in its first snapshot", 0.2)

    def start_agent(self, device):
        own = self.directory / device.name
        done = self.run("enroll", device.name, "--out", own)
        if done.returncode != 0:
            raise LabError(f"jaga enroll: {done.stderr}")
        (own / "password").write_text(PASSWORD + "\n", encoding="utf-8")
        (own / "agent.conf").write_text(
            f"[agent]\ntake_over = no\nscripts = unsigned\nidentity = {device.name}\ncollector = {SERVER}:{COLLECTOR_PORT}\n"
            f"key_file = {own}/agent.key\nstate_dir = {own}/state\nsocket = {own}/agent.sock\n"
            f"[router]\ndriver = routeros\naddress = 127.0.0.1:8728\nuser = {USER}\npassword_file = {own}/password\n", encoding="utf-8")
        self.fleet.at(device).start(f"{device.name}-agent", build_dir() / "jaga-agent", "--config", own / "agent.conf")

    def is_ready(self):
        rows = self.rows("devices")
        return len(rows) == len(self.fleet.devices) and all(row["online"] and row["snapshots"] > 0 for row in rows)

    # --- commands, on the server --------------------------------------------------------------------

    def run(self, *arguments):
        return subprocess.run(self.fleet.srv.argv([build_dir() / "jaga", "--socket", self.socket, *arguments]), text=True,
                              capture_output=True, check=False, timeout=PATIENCE_S)

    def rows(self, *arguments):
        done = self.run(*arguments, "--json")
        if not done.stdout:
            raise LabError(f"jaga {' '.join(map(str, arguments))}: {done.stderr}")
        return json.loads(done.stdout)

    def timed_rows(self, *arguments):
        self.begin()
        begun_s = time.monotonic()
        rows = self.rows(*arguments)
        return rows, time.monotonic() - begun_s

    # --- the work -----------------------------------------------------------------------------------

    def configure(self, scripts):
        directory = pathlib.Path(self.directory / f"scripts{time.monotonic_ns()}")
        directory.mkdir()
        for name, lines in scripts.items():
            (directory / f"{name}.rsc").write_text("\n".join(lines) + "\n", encoding="utf-8")
        try:
            rows, at_s = self.timed_rows("push", "--all", directory, "--wait", *self.push_options)
        except subprocess.TimeoutExpired:  # not known of one router is no reason to know nothing of the others
            rows, at_s = reversed(self.rows("jobs")), PATIENCE_S
        return {row["device"]: self.result(row, at_s) for row in rows}

    @staticmethod
    def result(row, at_s):
        ok = row.get("state") == "confirmed" and row.get("exit_status") == 0
        said = [row.get(what) for what in ("error", "state", "reason", "output")]
        return Result(ok, None if ok else "; ".join(str(word) for word in said if word), at_s)

    def backup(self):
        rows, at_s = self.timed_rows("snapshots", "--all", "--take")
        results = {row["device"]: Result("missing" not in row, row.get("missing"), at_s) for row in rows}
        for name, result in results.items():
            if result.ok:
                result.text = self.run("cat", name).stdout
        return results

    def backup_unchanged(self):
        """(names of the routers found changed, seconds)"""
        rows, at_s = self.timed_rows("snapshots", "--all", "--take")
        missing = [row["device"] for row in rows if "missing" in row]
        if missing or len(rows) != len(self.fleet.devices):
            raise LabError(f"no answer from {missing}")
        return {row["device"] for row in rows if row["changed"]}, at_s


class JagaUnconfirmed(Jaga):
    """Without the confirmation: what it costs."""

    name = "jaga_unconfirmed"
    repetitions = 1
    scenarios = ("clean",)
    push_options = ("--no-confirm",)
