"""Makes packages for tests: the real script over a program that a test chooses."""
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
OPENWRT = ROOT / "firmware-build" / "openwrt"
STANDIN = pathlib.Path(__file__).resolve().parent / "standin"
MTIME = 1700000000


def make_packages(directory, agent, version="v0.1.0", arch="mips_24kc", key=None):
    """(.ipk, .apk) of that version."""
    outs = [pathlib.Path(directory) / f"jaga-agent-{version}.{kind}" for kind in ("ipk", "apk")]
    subprocess.run([sys.executable, str(OPENWRT / "package.py"), "--agent", str(agent), "--arch", arch, "--version",
                    version, "--mtime", str(MTIME), *(["--key", str(key)] if key else []), *map(str, outs)],
                   check=True, timeout=60)
    return outs
