"""make size: what the agent takes of a router's flash; fails when a budget is exceeded. Part of `make check`.

Measures what is delivered: the stripped program of build/mips and the files in its OpenWrt package, unpacked. Flash with
squashfs or jffs2 compresses them to about half; budgets are for the uncompressed bytes, which is what memory and opkg see.
Writes build/bench/size.json, one flat object: bytes of each target's program, of the package, and of its sections.
"""
import io
import json
import pathlib
import subprocess
import sys
import tarfile

from tests.bench.budgets import report

OUT = pathlib.Path("build/bench")
TARGETS = ("mips", "mipsel", "armv5", "armv7", "arm64", "x86_64")
SECTIONS = (".text", ".rodata", ".data", ".bss")


def installed_bytes(package):
    """Bytes of the files that an .ipk puts on the router."""
    with tarfile.open(package) as outer:
        member = next(m for m in outer.getmembers() if m.name.lstrip("./").startswith("data.tar"))
        data = outer.extractfile(member).read()
    with tarfile.open(fileobj=io.BytesIO(data)) as inner:
        return sum(m.size for m in inner.getmembers() if m.isfile())


def section_bytes(program):
    out = subprocess.run(["readelf", "-SW", program], text=True, capture_output=True, check=True).stdout
    found = {}
    for line in out.splitlines():
        words = line.replace("[ ", "[").split()
        if len(words) > 5 and words[1] in SECTIONS:
            found[words[1]] = int(words[5], 16)
    return found


def measure():
    values = {}
    for target in TARGETS:
        program = pathlib.Path("build", target, "jaga-agent")
        if program.exists():
            values[f"{target}_agent_bytes"] = program.stat().st_size
    for name, size in section_bytes("build/mips/jaga-agent").items():
        values[f"mips{name.replace('.', '_')}_bytes"] = size
    packages = sorted(pathlib.Path("build/packages/openwrt").glob("*-mips_24kc.ipk"), key=lambda p: p.stat().st_mtime)
    if not packages:
        raise FileNotFoundError("no package in build/packages/openwrt; remedy: make packages-openwrt")
    values["openwrt_package_bytes"] = packages[-1].stat().st_size
    values["openwrt_installed_bytes"] = installed_bytes(packages[-1])
    return values


def main():
    try:
        values = measure()
    except (OSError, tarfile.TarError) as error:
        print(f"size: {error}", file=sys.stderr)
        return 1
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "size.json").write_text(json.dumps(values, indent=1) + "\n")
    good = report(values)
    others = ", ".join(f"{t} {values[f'{t}_agent_bytes']:,}" for t in TARGETS[1:] if f"{t}_agent_bytes" in values)
    if others:
        print(f"  other targets: {others} bytes")
    print(f"  written: {OUT}/size.json")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
