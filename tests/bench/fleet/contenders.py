"""
What people use today (contender.py says what a contender does), and Jaga (jaga.py). CONTENDERS lists all. Tools that are libraries work
in clients.py, a process of their own, so that their processor time and memory are seen.
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

from tests.bench.fleet.contender import Contender, Result
from tests.bench.fleet.jaga import Jaga, JagaUnconfirmed
from tests.bench.fleet.lab import PASSWORD, USER
from tests.lab.lab import LabError

PLAYBOOKS = pathlib.Path(__file__).parent / "playbooks"
FORKS = 10


class Library(Contender):
    """A Python library in its own process (clients.py). Loading it is not timed: S1's is part of a web server that runs."""

    known_version = None

    def version(self):
        return self.known_version or "not asked yet"

    def work(self, job, scripts):
        fleet = self.fleet
        with tempfile.TemporaryDirectory(dir=fleet.dir) as directory:
            order = {"dir": directory, "devices": [
                {"name": device.name, "host": device.host, "user": USER, "password": PASSWORD, "lines": scripts.get(device.name, [])}
                for device in fleet.devices]}
            program = fleet.srv.start(self.name, sys.executable, "-m", "tests.bench.fleet.clients", self.name, job, piped=True)
            pipes = program.popen
            pipes.stdin.write(json.dumps(order) + "\n")
            pipes.stdin.flush()
            first = pipes.stdout.readline()
            if not first:
                raise LabError(f"{self.name}: {program.read_log()[-2000:]}")
            self.known_version = json.loads(first)["version"]
            return self.listen(program, directory)

    def listen(self, program, directory):
        self.begin()
        program.popen.stdin.write("go\n")
        program.popen.stdin.close()
        results = {}
        expired = threading.Event()
        # Paramiko waits without end for the answer to an exec, which a router that is cut off just then does not give.
        timer = threading.Timer(self.patience_s, lambda: (expired.set(), program.kill()))
        timer.start()
        for line in program.popen.stdout:
            row = json.loads(line)
            results[row["device"]] = Result(row["ok"], row["error"], row["at_s"])
            self.progress(f"{row['device']} {'done' if row['ok'] else row['error']} after {row['at_s']:.1f} s")
        timer.cancel()
        status = program.wait(30)
        if not expired.is_set() and (status != 0 or len(results) != len(self.fleet.devices)):
            raise LabError(f"{self.name}: {program.read_log()[-2000:]}")
        for device in self.fleet.devices:
            results.setdefault(device.name, Result.of_hung(self.patience_s))
        for name, result in results.items():
            path = pathlib.Path(directory) / (name + ".rsc")
            result.text = path.read_text(encoding="utf-8") if path.exists() else None
        return results

    def configure(self, scripts):
        return self.work("configure", scripts)

    def backup(self):
        return self.work("backup", {})


class ParamikoAsPublished(Library):
    name = "paramiko"
    repetitions = 1  # a sum of 5,000 waits: it varies little, and takes ten minutes


class ParamikoThreads(Library):
    name = "paramiko10"
    repetitions = 1  # ten such sums


class ParamikoThreadsNoDelay(Library):
    name = "paramiko10_nodelay"


class Netmiko(Library):
    name = "netmiko"


class Ansible(Contender):
    """community.routeros.command over network_cli, ten forks: as the collection's guide has it. Starting it is part of using it."""

    name = "ansible"
    repetitions = 1  # two minutes

    def version(self):
        core = subprocess.run(["ansible", "--version"], text=True, capture_output=True, check=True).stdout.split("\n", 1)[0]
        import ansible_collections.community.routeros as collection
        manifest = pathlib.Path(list(collection.__path__)[0]) / "MANIFEST.json"
        galaxy = manifest.with_name("galaxy.yml")
        text = manifest.read_text(encoding="utf-8") if manifest.exists() else galaxy.read_text(encoding="utf-8")
        return f"{core}, community.routeros {re.search(r'version.{0,3}: *.?([0-9.]+)', text).group(1)}"

    def start(self):
        self.directory = self.fleet.dir / "ansible"
        shutil.copytree(PLAYBOOKS, self.directory)
        (self.directory / "host_vars").mkdir()
        (self.directory / "backups").mkdir()
        rows = [f"{device.name} ansible_host={device.host}" for device in self.fleet.devices]
        (self.directory / "hosts").write_text("[routers]\n" + "\n".join(rows) + "\n", encoding="utf-8")

    def play(self, book):
        self.begin()
        begun_s = time.monotonic()
        environment = {"ANSIBLE_CONFIG": str(self.directory / "ansible.cfg"), "ANSIBLE_FORKS": str(FORKS), "HOME": str(self.directory),
                       "ROUTER_USER": USER, "ROUTER_PASSWORD": PASSWORD, "LC_ALL": "C.UTF-8", "ANSIBLE_STDOUT_CALLBACK": "json"}
        out = self.directory / f"{book}.json"
        with open(out, "wb") as stream:
            popen = subprocess.Popen(self.fleet.srv.argv(["ansible-playbook", "-i", "hosts", f"{book}.yml"]), cwd=self.directory,
                                     stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT, env={**os.environ, **environment})
            try:
                popen.wait(self.patience_s)
            except subprocess.TimeoutExpired:
                return {device.name: Result.of_hung(self.patience_s) for device in self.fleet.devices}
            finally:
                if popen.poll() is None:
                    popen.terminate()
                    popen.wait()
        at_s = time.monotonic() - begun_s
        text = out.read_text(encoding="utf-8")
        try:
            report = json.loads(text[text.index("{"):])
        except ValueError:
            raise LabError(f"ansible-playbook: {text[-2000:]}") from None
        return {device.name: self.result(report, device.name, at_s) for device in self.fleet.devices}

    @staticmethod
    def result(report, name, at_s):
        stats = report["stats"].get(name, {"unreachable": 1, "failures": 0, "ok": 0})
        ok = stats["unreachable"] == stats["failures"] == 0 and stats["ok"] > 0
        said = [task["hosts"][name].get("msg") for play in report["plays"] for task in play["tasks"] if name in task["hosts"]]
        return Result(ok, None if ok else str(said[-1] if said else "nothing was done")[:500], at_s)

    def configure(self, scripts):
        for name, lines in scripts.items():
            (self.directory / "host_vars" / f"{name}.yml").write_text(json.dumps({"lines": lines}), encoding="utf-8")
        return self.play("configure")

    def backup(self):
        results = self.play("backup")
        for name, result in results.items():
            path = self.directory / "backups" / f"{name}.rsc"
            result.text = path.read_text(encoding="utf-8") if path.exists() else None
        return results


CONTENDERS = {kind.name: kind for kind in (Jaga, JagaUnconfirmed, ParamikoAsPublished, ParamikoThreads, ParamikoThreadsNoDelay, Netmiko, Ansible)}
