"""The packages themselves, by readers that are not the writer: structure, contents, modes, hashes, scripts, the same bytes
again, and what is delivered (build/packages/openwrt): the right agent for the right processor, small enough.
"""
import hashlib
import json
import os
import pathlib
import re
import struct
import subprocess
import zlib

import pytest

from tests.openwrt.apk import Broken, read_apk
from tests.openwrt.build import MTIME, OPENWRT, ROOT, STANDIN, make_packages
from tests.openwrt.ipk import read_ipk

INSTALLED_BYTES_MAX = 500_000
MODULES = ["kmod-nf-conntrack-netlink", "kmod-nft-core", "kmod-nft-fib", "kmod-nft-nat"]
FILES = {
    "etc/capabilities/jaga.json": 0o644,
    "etc/init.d/jaga": 0o755,
    "etc/uci-defaults/90_jaga": 0o755,
    "lib/upgrade/keep.d/jaga": 0o644,
    "usr/sbin/jaga-agent": 0o755,
}
APK_FILES = {**FILES, "lib/apk/packages/jaga-agent.list": 0o644}
ET_EXEC, EM_MIPS, PT_INTERP = 2, 8, 3  # of elf.h
TARGETS = {"mips_24kc": ("mips", ">"), "mipsel_24kc": ("mipsel", "<")}  # whose agent, order of bytes


@pytest.fixture(name="pair", scope="module")
def fixture_pair(tmp_path_factory):
    return make_packages(tmp_path_factory.mktemp("packages"), STANDIN / "jaga-agent")


def script_text(name):
    return (OPENWRT / "scripts" / name).read_bytes()


def check_tree(package, files):
    assert {name: file[0] for name, file in package.files.items()} == files
    for name, (_, user, group, mtime, contents) in package.files.items():
        assert (user, group, mtime) == ("root", "root", MTIME), name
        if not name.startswith(("lib/apk", "usr/sbin")):
            assert contents == (OPENWRT / "files" / name).read_bytes()
    assert package.files["usr/sbin/jaga-agent"][4] == (STANDIN / "jaga-agent").read_bytes()
    parents = {str(parent) for name in files for parent in list(pathlib.PurePosixPath(name).parents)[:-1]}
    assert package.directories == {**{name: (0o755, "root", "root") for name in parents}, "etc/jaga": (0o700, "root", "root")}


def check_info(package):
    assert package.info["name"] == "jaga-agent"
    assert package.info["version"] == "0.1.0-r1"
    assert package.info["arch"] == "mips_24kc"
    assert package.info["depends"] == MODULES
    assert package.info["license"] == "Apache-2.0"


def test_ipk(pair):
    package, fields = read_ipk(pair[0])
    check_tree(package, FILES)
    check_info(package)
    assert package.scripts == {"postinst": script_text("post-install"), "prerm": script_text("pre-remove")}
    assert package.info["installed-size"] == sum(len(file[4]) for file in package.files.values())
    assert fields["Description"].startswith("Keeps a router online over several uplinks\n ")


def test_apk(pair):
    package = read_apk(pair[1])
    check_tree(package, APK_FILES)
    check_info(package)
    assert set(package.scripts) == {"post-install", "post-upgrade", "pre-deinstall"}
    assert package.scripts["post-install"] == script_text("post-install")
    assert package.scripts["pre-deinstall"] == script_text("pre-remove")
    assert package.scripts["post-upgrade"].replace(b"\nexport PKG_UPGRADE=1\n", b"\n", 1) == script_text("post-install")
    assert package.scripts["post-upgrade"].startswith(b"#!/bin/sh\nexport PKG_UPGRADE=1\n")
    assert package.info["build-time"] == MTIME and not package.signatures
    assert package.info["installed-size"] == sum(len(file[4]) for file in package.files.values())
    listed = package.files["lib/apk/packages/jaga-agent.list"][4].decode().split()
    assert listed == sorted(f"/{name}" for name in FILES)


def test_the_reader_of_apk_sees_what_is_broken(pair, tmp_path):
    """Every byte of the stream is covered: by a hash, by the structure, or by the padding."""
    raw = pair[1].read_bytes()
    stream = bytearray(zlib.decompress(raw[4:], -15))
    size = struct.unpack_from("<I", stream, 8)[0] & 0x3fffffff
    # The magic, the schema, the block's size, in the middle of the ADB block, its last value, a DATA block, the end.
    for at in (0, 5, 8, 8 + size // 2, 8 + size - 4, 8 + (size + 7) // 8 * 8 + 20, len(stream) - 1):
        broken = bytearray(stream)
        broken[at] ^= 0x11
        path = tmp_path / "broken.apk"
        deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
        path.write_bytes(b"ADBd" + deflate.compress(bytes(broken)) + deflate.flush())
        with pytest.raises((Broken, UnicodeDecodeError, KeyError, ValueError)):
            read_apk(path)
    path.write_bytes(raw[:-10])
    with pytest.raises((Broken, zlib.error)):
        read_apk(path)


def test_a_key_signs_the_apk(tmp_path):
    key, public = tmp_path / "key.pem", tmp_path / "public.pem"
    for command in (["ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", str(key)],
                    ["ec", "-in", str(key), "-pubout", "-out", str(public)]):
        subprocess.run(["openssl", *command], check=True, capture_output=True, timeout=20)
    package = read_apk(make_packages(tmp_path, STANDIN / "jaga-agent", key=key)[1])
    (signature, adb), = package.signatures
    assert signature[:2] == b"\x00\x04"
    (tmp_path / "signature").write_bytes(signature[18:])
    signed = b"pckg" + signature[:18] + hashlib.sha512(adb).digest()
    verify = ["openssl", "dgst", "-sha512", "-verify", str(public), "-signature", str(tmp_path / "signature")]
    assert subprocess.run(verify, input=signed, capture_output=True, timeout=20).returncode == 0
    assert subprocess.run(verify, input=signed[:-1] + b"x", capture_output=True, timeout=20).returncode != 0


def test_the_same_bytes_again_elsewhere(pair, tmp_path):
    """Other times, other names of the files that go in, another working directory and umask."""
    agent = tmp_path / "another"
    agent.write_bytes((STANDIN / "jaga-agent").read_bytes())
    os.utime(agent, (1, 1))
    old = os.umask(0o027)
    try:
        again = make_packages(tmp_path, agent)
    finally:
        os.umask(old)
    for one, other in zip(pair, again):
        assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("described, version", [
    ("v1.2.3", "1.2.3-r1"), ("v1.2.3-dirty", "1.2.3-r1"), ("0.1.0", "0.1.0-r1"),
    ("v0.1.0-12-gabcdef1", "0.1.0_git12~abcdef1-r1"), ("0.0.196-0-g2266400-dirty", "0.0.196_git0~2266400-r1"),
])
def test_versions_are_as_both_formats_have_them(tmp_path, described, version):
    ipk, apk = make_packages(tmp_path, STANDIN / "jaga-agent", described)
    assert read_ipk(ipk)[0].info["version"] == read_apk(apk).info["version"] == version
    assert re.fullmatch(r"\d+(\.\d+)*(_git\d+)?(~[0-9a-f]+)?-r\d+", version)  # apk-package(5)


def test_capabilities_are_one_set():
    """ujail takes five sets; one that is missing would mean all."""
    sets = json.loads((OPENWRT / "files/etc/capabilities/jaga.json").read_text())
    assert set(sets) == {"bounding", "effective", "inheritable", "permitted", "ambient"}
    assert len({tuple(names) for names in sets.values()}) == 1


# --- what is delivered ----------------------------------------------------------------------------------------

def check_elf(program, order):
    """A static program of a 32-bit MIPS of that order of bytes."""
    assert program[:6] == b"\x7fELF\x01" + {">": b"\x02", "<": b"\x01"}[order]
    kind, machine = struct.unpack_from(order + "HH", program, 16)
    headers_at, = struct.unpack_from(order + "I", program, 28)
    size, count = struct.unpack_from(order + "HH", program, 42)
    segments = [struct.unpack_from(order + "I", program, headers_at + i * size)[0] for i in range(count)]
    assert (kind, machine) == (ET_EXEC, EM_MIPS) and segments and PT_INTERP not in segments


@pytest.mark.parametrize("arch", TARGETS)
@pytest.mark.parametrize("kind", ["ipk", "apk"])
def test_delivered(arch, kind):
    built = sorted((ROOT / "build/packages/openwrt").glob(f"jaga-agent-*-{arch}.{kind}"), key=lambda path: path.stat().st_mtime)
    assert built, "no packages: make packages-openwrt"
    package = read_ipk(built[-1])[0] if kind == "ipk" else read_apk(built[-1])
    target, order = TARGETS[arch]
    agent = package.files["usr/sbin/jaga-agent"][4]
    assert package.info["arch"] == arch
    assert agent == (ROOT / "build" / target / "jaga-agent").read_bytes(), "out of date: make packages-openwrt"
    check_elf(agent, order)
    assert package.info["installed-size"] == sum(len(file[4]) for file in package.files.values()) <= INSTALLED_BYTES_MAX
