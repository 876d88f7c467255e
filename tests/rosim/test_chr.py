"""The suites that rosim passes, passed by RouterOS? With JAGA_CHR_IMAGE=FILE, a disk image of RouterOS CHR (chr.py); every divergence is
printed and written to build/check/chr-divergences.txt. Without one, only the machinery is tested: with rosim in the image's place."""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree

import pytest

from tests.rosim import chr
from tests.rosim.laboratory import wait_for

ROOT = pathlib.Path(__file__).resolve().parents[2]
SUITES = ("test_api.py", "test_ssh.py", "test_clients_node.py", "test_clients_ansible.py")
REPORT = ROOT / "build/check/chr-divergences.txt"

# rosim with one word changed: a router that says something else than is assumed.
CHANGED = """import runpy, sys
sys.path.insert(0, {root!r})
from tests.rosim import values
from tests.rosim.errors import Trap
def refuse(text, router):
    if router.has_interface(text.lstrip("!")):
        return text
    raise Trap("there is no such interface")
if {is_changed}:
    values.CHECKS["interface"] = refuse
sys.argv[0] = {root!r} + "/tests/rosim/rosim"
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def find_divergences(place, directory, suites=SUITES):
    """([one line each], how many tests held, how many could not be asked)"""
    results = directory / "results.xml"
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={results}",
                           *(ROOT / "tests/rosim" / name for name in suites)], cwd=ROOT, check=False, text=True, capture_output=True,
                          env={**os.environ, chr.RUN: place})
    assert results.exists() and done.returncode in (0, 1), done.stdout + done.stderr
    found, held, skipped = [], 0, 0
    for case in xml.etree.ElementTree.parse(results).iter("testcase"):
        trouble = case.find("failure") if case.find("failure") is not None else case.find("error")
        if trouble is not None:
            why = re.sub(r"\s+", " ", trouble.get("message") or "")[:300]
            found.append(f"{case.get('classname').rpartition('.')[2]}::{case.get('name')}: {why}")
        elif case.find("skipped") is not None:
            skipped += 1
        else:
            held += 1
    return found, held, skipped


@pytest.mark.deadline(3600)
def test_rosim_is_as_routeros():
    image = os.environ.get("JAGA_CHR_IMAGE")
    if not image:
        pytest.skip("JAGA_CHR_IMAGE names no disk image of RouterOS CHR: nothing here was compared with a real router")
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    found, held, skipped = find_divergences(f"image:{image}", REPORT.parent)
    REPORT.write_text("".join(line + "\n" for line in found), encoding="utf-8")
    print(f"{held} tests hold of RouterOS, {len(found)} diverge, {skipped} cannot be asked", *found, sep="\n")
    assert held > 0, "no test could be asked of it"
    assert not found, f"{len(found)} divergences, in {REPORT.relative_to(ROOT)}"


def play(directory, is_changed):
    program = directory / "router"
    program.write_text(CHANGED.format(root=str(ROOT), is_changed=is_changed))
    return find_divergences(f"program:{program}", directory, ("test_api.py", "test_ssh.py"))


def test_what_is_the_same_is_no_divergence(tmp_path):
    found, held, skipped = play(tmp_path, False)
    assert found == [] and held >= 10 and skipped >= 10  # of other versions, and what rosim alone has


def test_what_differs_is_listed(tmp_path):
    found, held, _ = play(tmp_path, True)
    assert held > 10 and found and all("no such interface" in line for line in found)
    assert "test_api::test_refusals[7.20]" in {line.split(": ")[0] for line in found}


def test_an_image_that_is_not_there(tmp_path):
    with pytest.raises(chr.ChrError, match="there is no file"):
        chr.Machine(tmp_path / "chr.img")


class Halted(chr.Machine):
    """Whose processor never runs: there is nothing to boot."""

    def argv(self, image):
        return [*super().argv(image), "-S"]

    def set_password(self):
        wait_for("QEMU listens", pathlib.Path(self.monitor_path).exists)


@pytest.mark.skipif(not shutil.which("qemu-system-x86_64"), reason="QEMU is not installed; `make check-rosim` does that")
def test_a_machine_is_saved_restored_and_not_written(tmp_path):
    image = tmp_path / "chr.img"
    image.write_bytes(bytes(1 << 20))
    machine = Halted(image)
    try:
        machine.restore()
        machine.restore()
        with pytest.raises(chr.ChrError, match="Snapshot .never-saved. does not exist"):
            machine.command("loadvm never-saved")
    finally:
        machine.stop()
    assert image.read_bytes() == bytes(1 << 20)


@pytest.mark.parametrize("version, personality", [
    ("6.48.6", "6.49"), ("7.1", "7.16"), ("7.17.2", "7.16"), ("7.18beta6", "7.20"), ("7.20.4", "7.20"), ("8.0", "7.20")])
def test_the_nearest_personality(version, personality):
    assert chr.nearest(version) == personality
