"""The collector as a process: how it starts, what it refuses to start with, and how it stops."""
import grp
import os
import signal
import socket
import stat
import subprocess

import pytest

from tests.e2e.devices import LoopbackCollector
from tests.e2e.loopback import assert_responsive, collector  # noqa: F401
from tests.lab.lab import wait_until
from tests.lab.programs import build_dir


def run_collector(*arguments, timeout=20):
    return subprocess.run([str(build_dir() / "jaga-collector"), *map(str, arguments)], capture_output=True, text=True,
                          timeout=timeout, check=False)


def test_second_collector_on_the_store_is_refused(collector, tmp_path):
    other_dir = tmp_path / "other"
    other_dir.mkdir()
    other = LoopbackCollector(other_dir, store=collector.store)
    done = run_collector("--config", other.conf)
    assert done.returncode == 1 and "another jaga-collector" in done.stderr and str(collector.store) in done.stderr
    assert_responsive(collector)


def test_second_collector_on_the_socket_is_refused(collector, tmp_path):
    other_dir = tmp_path / "other"
    other_dir.mkdir()
    other = LoopbackCollector(other_dir)
    other.conf.write_text(other.conf.read_text().replace(str(other.socket), str(collector.socket)))
    done = run_collector("--config", other.conf)
    assert done.returncode == 1 and str(collector.socket) in done.stderr
    assert_responsive(collector)


def test_old_socket_file_of_a_crash_is_replaced(collector):
    collector.kill()
    assert collector.socket.exists()
    collector.start()
    assert collector.stop() == 0
    assert not collector.socket.exists()


def test_access_to_the_socket(tmp_path):
    group = grp.getgrgid(os.getgid()).gr_name
    collector = LoopbackCollector(tmp_path)
    with open(collector.conf, "a") as conf:
        conf.write(f"group = {group}\n")
    collector.start()
    mode = collector.socket.stat()
    assert stat.S_IMODE(mode.st_mode) == 0o660 and mode.st_gid == os.getgid()
    assert stat.S_IMODE(collector.store.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in collector.store.iterdir()} == {0o600}
    assert "0" == next(line.split()[-2] for line in open(f"/proc/{collector.popen.pid}/limits") if "core file" in line)
    collector.end()


@pytest.mark.parametrize("lines, told", [
    ("[control]\ngroup = no-such-group\n", "no-such-group"),
    ("[store]\npath = /proc/nowhere\n", "/proc/nowhere"),
    ("[control]\nsocket = /nowhere/at/all/c.sock\n", "/nowhere/at/all/c.sock"),
])
def test_what_cannot_start_says_why(tmp_path, lines, told):
    conf = tmp_path / "c.conf"
    values = {"store": f"path = {tmp_path}/store", "control": f"socket = {tmp_path}/c.sock"}
    section = lines.split("]")[0][1:]
    field = lines.splitlines()[1].split(" = ")[0]
    conf.write_text("[collector]\nlisten = 127.0.0.1:15684\n" + "".join(
        f"[{name}]\n" + ("" if name == section and value.startswith(field) else value + "\n") +
        (lines.split("\n", 1)[1] if name == section else "") for name, value in values.items()))
    done = run_collector("--config", conf)
    assert done.returncode == 1 and told in done.stderr, done.stderr


def test_bad_configuration_names_file_line_and_field(tmp_path):
    conf = tmp_path / "bad.conf"
    conf.write_text("[collector]\nlisten = nonsense\n[store]\nsize = 1\n[nowhere]\n")
    for arguments in ((), ("--check",)):
        done = run_collector("--config", conf, *arguments)
        assert done.returncode == 2
        assert f"{conf}:2: [collector] listen: 'nonsense'" in done.stderr
        assert f"{conf}:4: [store] size: '1'" in done.stderr and f"{conf}:5: [nowhere]" in done.stderr
    assert run_collector("--config", tmp_path / "missing").returncode == 2
    assert run_collector("--nonsense").returncode == 2
    assert run_collector("argument").returncode == 2


def test_systemd_is_told(tmp_path):
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.settimeout(60)
    notify.bind(str(tmp_path / "notify"))
    collector = LoopbackCollector(tmp_path)
    # WATCHDOG_PID is the collector's own: a shell takes its number and becomes it.
    collector.start(wrapper=("sh", "-c", 'WATCHDOG_PID=$$ exec "$@"', "-"),
                    env={"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000"})
    assert notify.recv(256) == b"READY=1"
    assert notify.recv(256) == b"WATCHDOG=1"
    assert collector.stop() == 0
    while (told := notify.recv(256)) == b"WATCHDOG=1":
        pass
    assert told == b"STOPPING=1"
    notify.close()


def test_hangup_is_harmless_and_stop_ends_followers(collector):
    collector.popen.send_signal(signal.SIGHUP)
    wait_until(lambda: "restart to use a new one" in collector.read_log(), 5, "the log says what to do")
    follow = collector.stream(op="events", follow=True)
    assert_responsive(collector)
    assert collector.stop() == 0
    with pytest.raises(EOFError):
        follow.next()
    follow.close()
