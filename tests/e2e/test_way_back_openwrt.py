"""The way back of a script on OpenWrt: agent/router/linux_save.sh under busybox, in a root directory with stand-ins for netifd and
fw4. What runs follows from /etc/config there, so the files are put back and everything is made anew from them."""
import os
import shutil
import signal
import stat
import subprocess

import pytest

from tests.lab.programs import ROOT
from tests.openwrt.router import NETWORK, Router

PROGRAM = (ROOT / "agent/router/linux_save.sh").read_text()
NO_SAVE_POINT = 44


@pytest.fixture(name="router")
def fixture_router(tmp_path):
    router = Router(tmp_path / "root")
    for path in ("sbin/reload_config", "etc/init.d/network", "etc/init.d/firewall"):
        router.write(path, f'#!/bin/sh\necho {path} "$@" >> /tmp/told\n[ ! -e /tmp/broken ] || exit 1\n')
        (router.root / path).chmod(0o755)
    (router.root / "etc/jaga/state").mkdir(parents=True)
    (router.root / "proc/sys/kernel/random").mkdir(parents=True)
    router.write("proc/sys/kernel/random/boot_id", "this boot\n")
    return router


def act(router, action, job="5", rollback="", files="/etc/config/*", memory=True):
    """(exit status, last line) as linux_save.c sees them. memory=False: there is no /tmp."""
    quoted = rollback.replace("'", "'\\''")
    router.write("way-back", f"ACTION={action}\nDIR=/etc/jaga/state\nJOB={job}\nRELOAD=\nFILES='{files}'\n"
                             f"ROLLBACK='{quoted}'\n{PROGRAM}")
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"} | ({} if memory else {"TMPDIR": "/nowhere"})
    done = subprocess.run(["chroot", router.root, "/bin/sh", "/way-back"], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=60, check=False, env=env)
    return done.returncode, (done.stdout.splitlines() or [""])[-1]


def saves(router):
    return [path.name for path in (router.root / "etc/jaga/state").glob("save-*")]


def test_files_come_back_and_are_applied(router):
    router.write("etc/config/a b", "blank\n")
    router.write("etc/config/secret", "the same\n")
    secret = router.root / "etc/config/secret"
    secret.chmod(0o600)
    assert act(router, "save") == (0, "")
    secret.chmod(0o666)
    assert saves(router) == ["save-5"]
    assert (router.root / "etc/jaga/state/save-5").stat().st_mode & 0o777 == 0o700
    router.write("etc/config/network", "nonsense\n")
    router.write("etc/config/a b", "changed\n")
    router.write("etc/config/new", "config new\n")
    (router.root / "etc/config/firewall").unlink()
    before = router.files()
    assert act(router, "roll_back") == (0, "")
    assert router.read("etc/config/network") == NETWORK and router.read("etc/config/a b") == "blank\n"
    assert secret.stat().st_mode & 0o7777 == 0o600 and router.read("etc/config/secret") == "the same\n"
    assert (router.root / "etc/config/firewall").exists() and not (router.root / "etc/config/new").exists()
    assert {name for name in before if name.startswith("etc/") and "jaga" not in name} - set(router.files()) == {"etc/config/new"}
    assert router.lines("tmp/told") == ["sbin/reload_config", "etc/init.d/network restart", "etc/init.d/firewall restart"]
    assert act(router, "roll_back") == (0, "")  # the agent had no time to note it: nothing is done twice
    assert len(router.lines("tmp/told")) == 3


def test_nothing_is_written_through_a_link(router):
    """A script masks files with a device and leads links elsewhere: both are other people's, and are left alone."""
    def lead(path, text):  # never by an absolute path: the test itself would write at the machine's
        (config / path).unlink(missing_ok=True)
        (config / path).symlink_to(text)

    config, device = router.root / "etc/config", router.root / "dev/nothing"
    os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))  # as /dev/null, which is the machine's
    for name in ("there", "elsewhere", "behind"):
        router.write(f"etc/{name}", f"{name}\n")
    for path, text in (("retargeted", "../there"), ("written", "../behind"), ("masked", "../../dev/nothing"), ("dangling", "nowhere"),
                       ("a file", "../there"), ("lost", "../there")):
        lead(path, text)
    for name in ("network file", "blocked", "led away"):
        router.write(f"etc/config/{name}", f"{name}\n")
    saved = router.files()
    assert act(router, "save") == (0, "")
    lead("network", "../../dev/nothing")
    lead("retargeted", "../elsewhere")
    router.write("etc/config/written", "changed\n")
    for name in ("masked", "a file", "lost", "dangling", "blocked"):
        (config / name).unlink()
    for name in ("masked", "a file"):
        router.write(f"etc/config/{name}", "a file\n")
    os.mkfifo(config / "blocked")
    lead("led away", "..")
    lead("new", "../../dev/nothing")
    assert act(router, "roll_back") == (0, "")
    assert {path: what for path, what in router.files().items() if "state" not in path and path != "way-back"} == saved
    assert stat.S_ISCHR(device.stat().st_mode) and [path.name for path in device.parent.iterdir()].count("nothing.jaga-new") == 0


def test_a_directory_in_the_place_of_a_file_is_told(router):
    assert act(router, "save")[0] == 0
    (router.root / "etc/config/network").unlink()
    (router.root / "etc/config/network/d").mkdir(parents=True)
    status, said = act(router, "roll_back")
    assert (status, said) == (1, "not put back: /etc/config/network")
    assert [path.name for path in (router.root / "etc/config/network").iterdir()] == ["d"]


def test_a_file_that_two_patterns_name(router):
    (router.root / "etc/config/again").symlink_to("network")
    files = "/etc/config/*\n/etc/config/network\n/etc/config/again"
    assert act(router, "save", files=files) == (0, "")
    (router.root / "etc/config/again").unlink()
    router.write("etc/config/again", "")
    router.write("etc/config/network", "nonsense\n")
    assert act(router, "roll_back", files=files) == (0, "")
    assert os.readlink(router.root / "etc/config/again") == "network" and router.read("etc/config/again") == NETWORK


def test_without_a_tmp_nothing_piles_up(router):
    """Ended by force each time, in a root without a /tmp: the flash holds no more of it than one."""
    state = router.root / "etc/jaga/state"
    router.write("sbin/reload_config", "#!/bin/sh\nkill -9 $PPID\n")
    assert act(router, "save", memory=False) == (0, "")
    for _ in range(3):
        assert act(router, "roll_back", memory=False)[0] == -signal.SIGKILL
    assert [path.name for path in state.iterdir()] == ["save-5"]
    assert act(router, "commit", memory=False) == (0, "")
    assert list(state.iterdir()) == []


def test_what_is_unchanged_is_not_written_again(router):
    assert act(router, "save")[0] == 0
    path = router.root / "etc/config/network"
    before = path.stat()
    assert act(router, "roll_back")[0] == 0
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_cut_off_in_the_middle_of_going_back(router):
    assert act(router, "save")[0] == 0
    router.write("etc/config/network", "nonsense\n")
    router.write("tmp/broken", "")
    status, said = act(router, "roll_back")
    assert status == 1 and said == "not put back: network restart, firewall restart"
    (router.root / "tmp/broken").unlink()
    assert act(router, "roll_back") == (0, "")
    assert router.read("etc/config/network") == NETWORK


def test_commit_and_no_save_point(router):
    assert act(router, "roll_back") == (NO_SAVE_POINT, "there is no save point of job 5")
    assert act(router, "save")[0] == 0
    assert act(router, "roll_back", job="6") == (NO_SAVE_POINT, "there is no save point of job 6")
    assert act(router, "commit") == (0, "")
    assert saves(router) == []
    assert act(router, "commit") == (0, "")  # again, after a power cut
    assert act(router, "roll_back")[0] == NO_SAVE_POINT
    assert router.lines("tmp/told") == []


def test_a_script_that_still_runs_is_ended_without_a_dev(router):
    """Its process group is. A bare container has no /dev/null, so nothing asks for one."""
    shutil.rmtree(router.root / "dev")
    assert act(router, "save")[0] == 0
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as script:
        try:
            (router.root / f"proc/{script.pid}").mkdir()
            router.write(f"proc/{script.pid}/environ", "LC_ALL=C\0JAGA_JOB=5\0")
            router.write(f"proc/{script.pid}/stat", f"{script.pid} (sleep) S 1 {script.pid} {script.pid} 0\n")
            assert act(router, "roll_back") == (0, f"ended process group {script.pid}")
            assert script.wait(10) == -signal.SIGKILL
        finally:
            script.kill()


def test_a_script_of_another_router_goes_on(router):
    """Of a container's on this machine: its job has the same number, and another network namespace."""
    assert act(router, "save")[0] == 0
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as script:
        try:
            (router.root / f"proc/{script.pid}/ns").mkdir(parents=True)
            (router.root / f"proc/{script.pid}/ns/net").symlink_to("net:[4026531840]")
            router.write(f"proc/{script.pid}/environ", "LC_ALL=C\0JAGA_JOB=5\0")
            router.write(f"proc/{script.pid}/stat", f"{script.pid} (sleep) S 1 {script.pid} {script.pid} 0\n")
            assert act(router, "roll_back") == (0, "")
            assert script.poll() is None
        finally:
            script.kill()


def test_half_a_save_point_is_none(router):
    """The power went while it was made, and an older one lies about."""
    for name in ("save-4", "save-5.new"):
        (router.root / "etc/jaga/state" / name).mkdir()
    assert act(router, "roll_back")[0] == NO_SAVE_POINT
    assert act(router, "save")[0] == 0
    assert saves(router) == ["save-5"]


def test_a_rollback_of_the_author(router):
    text = "echo it\\'s $JAGA_JOB > /tmp/undone\n"
    assert act(router, "save", rollback=text)[0] == 0
    router.write("etc/config/network", "nonsense\n")
    assert act(router, "roll_back") == (0, "")
    assert router.read("tmp/undone") == "it's 5\n"
    assert router.read("etc/config/network") == "nonsense\n" and router.lines("tmp/told") == []
    assert act(router, "save", rollback="echo line 1\necho wrong >&2\nexit 7\n")[0] == 0
    assert act(router, "roll_back") == (1, "its rollback script ended with status 7: wrong")
