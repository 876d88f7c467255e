"""The Debian packages as files: what is in them, what their units allow, the same bytes twice. guest_packages.py installs them.

`make packages-debian` has made them; nothing is installed here.
"""
import os
import re
import shutil
import subprocess

import pytest

from tests.lab.programs import ROOT, build_dir

HERE = ROOT / "firmware-build/debian"
NAMES = ("jaga-agent", "jaga-collector")
STAGE = build_dir() / "debian/root"
EXPOSURE = 20  # tenths, as systemd-analyze counts
UNITS = {"jaga-agent.service": "jaga-agent", "jaga-collector.service": "jaga-collector"}
SCRIPT_UNIT = "jaga-script@.service"
# All that the unit of scripts says of how they run: any other setting could take something from them.
SCRIPT_SETTINGS = {"ExecStart", "StandardInput", "StandardOutput", "StandardError", "KillMode"}


def run(*argv, check=True, **kwargs):
    return subprocess.run([str(word) for word in argv], capture_output=True, text=True, timeout=120, check=check, **kwargs)


def deb(name):
    found = sorted((ROOT / "build/packages/debian").glob(f"{name}_*.deb"))
    assert len(found) == 1, f"{found}: make packages-debian leaves one"
    return found[0]


@pytest.fixture(name="trees", scope="module")
def fixture_trees(tmp_path_factory):
    """{name: what the package puts below /}"""
    trees = {name: tmp_path_factory.mktemp(name) for name in NAMES}
    for name, tree in trees.items():
        run("dpkg-deb", "-x", deb(name), tree)
    return trees


def unit_path(trees, unit):
    return trees[UNITS.get(unit, "jaga-agent")] / "lib/systemd/system" / unit


def files(tree):
    return {str(path.relative_to(tree)) for path in tree.rglob("*") if not path.is_dir()}


def unit_lines(unit, field):
    text = (ROOT / f"docs/systemd/{unit}.in").read_text()
    return [line.partition("=")[2] for line in text.splitlines() if line.startswith(f"{field}=")]


# --- units ------------------------------------------------------------------------------------------------

def exposure(path):
    """Whether systemd-analyze finds it within the threshold, and what it says."""
    ran = run("systemd-analyze", "security", "--no-pager", "--offline=yes", f"--threshold={EXPOSURE}", path, check=False)
    assert "Overall exposure level" in ran.stdout, ran.stderr
    return ran.returncode == 0, ran.stdout


@pytest.mark.parametrize("unit", UNITS)
def test_exposure(trees, unit):
    within, said = exposure(unit_path(trees, unit))
    assert within, said


def test_exposure_sees_what_is_taken_away(trees, tmp_path):
    """The negative control: without two lines the agent's unit is above."""
    text = unit_path(trees, "jaga-agent.service").read_text()
    weak = tmp_path / "jaga-agent.service"
    weak.write_text(re.sub(r"^(CapabilityBoundingSet|SystemCallFilter)=.*\n", "", text, flags=re.M))
    assert not exposure(weak)[0]


def test_the_script_unit_confines_nothing_and_says_why(trees):
    text = unit_path(trees, SCRIPT_UNIT).read_text()
    settings = re.sub(r"^#.*\n", "", text, flags=re.M)
    assert "ExecStart=/usr/sbin/jaga-agent --run-script\n" in settings
    service = settings.partition("[Service]\n")[2]
    assert "[" not in service and set(re.findall(r"^(\w+)=", service, re.M)) == SCRIPT_SETTINGS
    assert "on purpose" in text
    agent = unit_path(trees, "jaga-agent.service").read_text()
    assert "User=jaga-agent\n" in agent
    socket = unit_path(trees, "jaga-script.socket").read_text()
    path, = re.findall(r"^ListenSequentialPacket=(.*)$", socket, re.M)
    assert f"--script-socket {path}\n" in agent and "SocketUser=jaga-agent\nSocketMode=0600\n" in socket


# --- packages ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize("mode, user, group, after", [
    (0o600, 0, "daemon", 0o640), (0o400, 0, "daemon", 0o440), (0o640, 0, "daemon", 0o640), (0o644, 0, "root", 0o644),
    (0o600, 1, "root", 0o600)])  # somebody else's file is not root's word, and stays as it is
def test_the_agent_may_read_a_configuration_that_is_root_s(tmp_path, mode, user, group, after):
    line, = (line for line in unit_lines("jaga-agent.service", "ExecStartPre") if "agent.conf" in line)
    assert line.startswith("+-/")  # as root, and without a configuration there is nothing to do
    command = line.removeprefix("+-").replace("/etc/jaga/agent.conf", str(tmp_path / "agent.conf")).replace("jaga-agent", "daemon")
    path = tmp_path / "real.conf"
    (tmp_path / "agent.conf").symlink_to(path)
    path.write_text("[agent]\n")
    path.chmod(mode)
    os.chown(path, user, 0)
    for _ in range(2):  # each start does it
        run(*command.split())
        assert (path.stat().st_mode & 0o777, path.stat().st_uid, path.group()) == (after, user, group)


@pytest.mark.parametrize("name", NAMES)
def test_lintian(name):
    ran = run("lintian", "--allow-root", "--fail-on", "error,warning", deb(name), check=False)
    assert ran.returncode == 0, ran.stdout


def test_everything_that_is_installed_is_in_one_package(trees):
    packed = {name: {path.removesuffix(".gz") for path in files(tree) if not path.startswith(("usr/share/doc", "usr/share/lintian"))}
              for name, tree in trees.items()}
    assert not packed["jaga-agent"] & packed["jaga-collector"]
    # Bills of materials lie beside the programs; they are delivered beside the packages.
    installed = {path for path in files(STAGE) if not path.startswith("usr/share/doc") and not path.endswith(".cdx.json")}
    assert packed["jaga-agent"] | packed["jaga-collector"] == installed
    assert (trees["jaga-agent"] / "usr/share/doc/jaga-agent/examples/agent.conf").read_text() == \
        (ROOT / "docs/agent.conf.example").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_dpkg_can_verify_every_file(trees, name, tmp_path):
    run("dpkg-deb", "-e", deb(name), tmp_path)
    sums = (tmp_path / "md5sums").read_text()
    assert {line.partition("  ")[2] for line in sums.splitlines()} == files(trees[name])
    run("md5sum", "--check", "--strict", tmp_path / "md5sums", cwd=trees[name])


@pytest.mark.parametrize("name", NAMES)
def test_all_of_it_is_root_s_and_nothing_runs_as_its_owner(name):
    for line in run("dpkg-deb", "-c", deb(name)).stdout.splitlines():
        mode, owner = line.split()[:2]
        assert owner == "root/root" and re.fullmatch(r"d?-?rw[-x]r-[-x]r-[-x]", mode), line


@pytest.mark.parametrize("name", NAMES)
def test_the_same_bytes_from_another_place_at_another_time(name, tmp_path):
    tree = tmp_path / "elsewhere" / "root"
    shutil.copytree(STAGE, tree, symlinks=True, copy_function=shutil.copyfile)
    for path in tree.rglob("*"):
        path.chmod(0o755 if path.is_dir() or path.parent.name in ("bin", "sbin") else 0o664)
        os.utime(path, (1, 1))
    fields = dict(line.split(": ", 1) for line in run("dpkg-deb", "-f", deb(name), "Version", "Architecture").stdout.splitlines())
    again = tmp_path / deb(name).name
    built = run("git", "log", "-1", "--format=%ct", cwd=ROOT).stdout.strip()
    run(HERE / "package.sh", name, fields["Version"], fields["Architecture"], tree, again, cwd=ROOT, umask=0o002,
        env={**os.environ, "SOURCE_DATE_EPOCH": built, "TZ": "Asia/Tokyo", "LC_ALL": "C.UTF-8"})
    assert again.read_bytes() == deb(name).read_bytes()


@pytest.mark.parametrize("has_run, has_conf, status", [(True, True, 0), (True, False, 0), (True, True, 1), (False, True, 0)])
def test_a_removal_takes_the_plan_away(tmp_path, has_run, has_conf, status):
    """Once the agent has run here, with its configuration or without."""
    told = tmp_path / "told"
    for name, ends in (("jaga-agent", status), ("deb-systemd-invoke", 0)):
        (tmp_path / name).write_text(f'#!/bin/sh\necho {name} "$@" >> {told}\nexit {ends}\n')
        (tmp_path / name).chmod(0o755)
    told.touch()
    script = "mount -t tmpfs none /etc && mount -t tmpfs none /var/lib && mkdir /etc/jaga"
    script += " && touch /etc/jaga/agent.conf" if has_conf else ""
    script += " && mkdir /var/lib/jaga-agent" if has_run else ""
    for word in ("upgrade", "remove"):
        ran = run("unshare", "-m", "sh", "-c", f'{script} && exec sh "$@"', "sh", HERE / "jaga-agent/prerm", word, check=False,
                  env={"PATH": f"{tmp_path}:/usr/sbin:/usr/bin:/sbin:/bin"})
        assert ran.returncode == (status if word == "remove" else 0)
        said = [line for line in told.read_text().splitlines() if line.startswith("jaga-agent")]
        assert said == (["jaga-agent --remove"] if has_run and word == "remove" else [])
    assert ("its rules are still in force" in ran.stderr) == (status != 0)


def test_versions_are_debian_s_and_in_order():
    """Oldest first, as `git describe --tags --always --dirty` and the number of commits tell them."""
    told = [("00abc12", 9), ("9abc123", 10), ("9abc123-dirty", 10), ("fabc123", 11), ("v0.9.0-rc1", 12), ("v0.9.0-rc1-2-gabc1234", 14),
            ("v0.9.0", 15), ("v0.9.0-dirty", 15), ("v0.9.0-3-gabc1234", 18), ("v0.9.0-12-g0123abc", 27), ("v0.10.0", 40)]
    versions = [run(HERE / "version.sh", described, commits).stdout.strip() for described, commits in told]
    for version in versions:
        run("dpkg", "--validate-version", version)
    for older, newer in zip(versions, versions[1:]):
        run("dpkg", "--compare-versions", older, "lt", newer)
