"""What toolchain/TARGET.mk says of each router, and how its programs run here."""
import pathlib
import re
import resource
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGETS = ("mips", "mipsel", "armv5", "armv7", "arm64", "x86_64")


def setting(target, name):
    """The value of one variable of toolchain/TARGET.mk; empty when it is not set."""
    text = (ROOT / "toolchain" / f"{target}.mk").read_text(encoding="utf-8")
    found = re.search(rf"^{name}\s*:=[ \t]*(.*)$", text, re.M)
    return found[1] if found else ""


def built(target, name):
    path = ROOT / "build" / target / name
    assert path.exists(), f"{path} is not built: make routers-build"
    return path


def no_core():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def run(target, *argv, **options):
    """Run a program of a router: natively or under its emulator."""
    return subprocess.run([*setting(target, "TARGET_QEMU").split(), *map(str, argv)], capture_output=True, text=True,
                          timeout=60, check=False, preexec_fn=no_core, **options)
