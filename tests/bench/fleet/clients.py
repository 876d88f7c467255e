"""
The work of the contenders that are Python libraries, as their users write it; runs in the server's namespace.

    python3 -m tests.bench.fleet.clients CONTENDER configure|backup

Reads one line of JSON, {"devices": [{"name", "host", "user", "password", "lines"}], "dir"}; prints {"version"} when its library
is loaded; begins at the next line it reads; prints {"device", "ok", "error", "at_s"} for each router that it is done with. Backups
are written to dir/NAME.rsc. "ok" is what such a program believes: nothing here knows more than the library tells.
"""
import concurrent.futures
import json
import pathlib
import socket
import subprocess
import sys
import threading
import time

TIMEOUT_S = 30  # without an answer; none of the libraries has a limit for a command of its own that S1 or their examples use
PINGS = 3
THREADS = 10


def ping(host):
    """S1 begins with it. One that is lost is not yet a router that is away."""
    for _ in range(PINGS):
        if subprocess.run(["ping", "-n", "-q", "-c", "1", "-W", "1", host], stdout=subprocess.DEVNULL, check=False).returncode == 0:
            return
    raise OSError("no answer to ping")


class Paramiko:
    """S1: ping, SSH, an exec for each command; export to a file, SCP, delete."""

    threads, nodelay = 1, False

    def __init__(self):
        import paramiko
        import scp
        self.paramiko, self.scp = paramiko, scp
        self.version = f"paramiko {paramiko.__version__}, scp {scp.__version__}"

    def connect(self, device):
        client = self.paramiko.SSHClient()
        client.set_missing_host_key_policy(self.paramiko.AutoAddPolicy())
        client.connect(device["host"], username=device["user"], password=device["password"], timeout=TIMEOUT_S,
                       banner_timeout=TIMEOUT_S, auth_timeout=TIMEOUT_S, look_for_keys=False, allow_agent=False)
        if self.nodelay:
            client.get_transport().sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return client

    @staticmethod
    def run(client, command):
        """As usual: the answer is waited for, and nobody looks at it."""
        _, stdout, _ = client.exec_command(command, timeout=TIMEOUT_S)
        stdout.read()

    def configure(self, device, _directory):
        ping(device["host"])
        with self.connect(device) as client:
            for line in device["lines"]:
                self.run(client, line)

    def backup(self, device, directory):
        ping(device["host"])
        with self.connect(device) as client:
            self.run(client, "/export file=backup")
            with self.scp.SCPClient(client.get_transport(), socket_timeout=TIMEOUT_S) as copy:
                copy.get("backup.rsc", str(directory / (device["name"] + ".rsc")))
            self.run(client, "/file remove backup.rsc")


class Paramiko10(Paramiko):
    """The same with a thread a router."""

    threads = THREADS


class Paramiko10NoDelay(Paramiko10):
    """And small packets that do not wait."""

    nodelay = True


class Netmiko:
    """ConnectHandler and send_config_set in ten threads, as its examples have it; /export read from the terminal."""

    threads = THREADS

    def __init__(self):
        import netmiko
        self.netmiko = netmiko
        self.version = f"netmiko {netmiko.__version__}"

    def connect(self, device):
        return self.netmiko.ConnectHandler(device_type="mikrotik_routeros", host=device["host"], username=device["user"],
                                           password=device["password"], timeout=TIMEOUT_S)

    def configure(self, device, _directory):
        connection = self.connect(device)
        connection.send_config_set(device["lines"])
        connection.disconnect()

    def backup(self, device, directory):
        connection = self.connect(device)
        text = connection.send_command_timing("/export")
        connection.disconnect()
        (directory / (device["name"] + ".rsc")).write_text(text, encoding="utf-8")


CONTENDERS = {"paramiko": Paramiko, "paramiko10": Paramiko10, "paramiko10_nodelay": Paramiko10NoDelay, "netmiko": Netmiko}


def main(name, job):
    contender = CONTENDERS[name]()
    work = json.loads(sys.stdin.readline())
    directory = pathlib.Path(work["dir"])
    telling = threading.Lock()

    def tell(**row):
        with telling:
            print(json.dumps(row), flush=True)

    def do(device):
        error = None
        try:
            getattr(contender, job)(device, directory)
        except Exception as problem:  # whatever it is: this router failed, and its user is told so
            error = f"{type(problem).__name__}: {problem}"
        tell(device=device["name"], ok=error is None, error=error, at_s=time.monotonic() - begun_s)

    tell(version=contender.version)
    sys.stdin.readline()
    begun_s = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(contender.threads) as pool:
        list(pool.map(do, work["devices"]))


if __name__ == "__main__":
    main(*sys.argv[1:])
