#!/usr/bin/env python3
"""Packages of OpenWrt from one tree and one description: .ipk (opkg, up to 24.10) and .apk (apk-tools 3, from 25.12).

    package.py --agent FILE --arch mips_24kc --version 0.1.0-r1 --mtime SECONDS [--key PRIVATE.pem] OUT.ipk|OUT.apk ...

The tree is files/ beside this script and the agent as /usr/sbin/jaga-agent; the description is `describe`, what runs
before and after is scripts/. There are no conffiles: what is the router's own (/etc/config/jaga, the key) is not in the
package but made on the router, so that no upgrade leaves a second copy beside it; sysupgrade keeps it by keep.d.
The same input gives the same bytes anywhere: everything belongs to root, bears one time,
is in order, and modes are 0755 for what can be executed and 0644 for the rest.

ipk: a tar.gz of debian-binary, control.tar.gz and data.tar.gz.

apk v3: a stream of blocks, compressed as a whole (here raw deflate, marked "ADBd"); integers are little-endian:
    "ADB." "pckg"                           what follows is a package
    block ADB   header, values              all there is to know: description, directories and files with hashes, scripts
    block SIG   one signature of that       with --key; without, apk wants --allow-untrusted
    block DATA  directory, file, contents   for each file that is not empty, in the order of the ADB block
A block begins with its type (2 bits) and its size with this word (30 bits), and is padded to 8 bytes. A value is a word
of 4 bits type and 28 bits value: a small integer itself, of anything else its place in the block (see class Adb).
apk-v3(5) of apk-tools has more; the numbers of the fields below are its src/apk_adb.h's.
"""
import argparse
import gzip
import hashlib
import io
import pathlib
import re
import struct
import subprocess
import tarfile
import zlib

HERE = pathlib.Path(__file__).resolve().parent
AGENT_PATH = "usr/sbin/jaga-agent"
DIRECTORY_MODE = 0o755
EMPTY_DIRECTORIES = {"etc/jaga": 0o700}  # keys
IPK_SCRIPTS = {"post-install": "postinst", "pre-remove": "prerm"}

# Places in objects, counted from 1.
PACKAGE_INFO, PACKAGE_PATHS, PACKAGE_SCRIPTS = 1, 2, 3
INFO = {"name": 1, "version": 2, "unique-id": 3, "description": 4, "arch": 5, "license": 6, "origin": 7, "maintainer": 8,
        "build-time": 11, "installed-size": 12, "depends": 15}
DEPENDENCY_NAME = 1
DIRECTORY_NAME, DIRECTORY_ACL, DIRECTORY_FILES = 1, 2, 3
FILE_NAME, FILE_ACL, FILE_SIZE, FILE_MTIME, FILE_HASH = 1, 2, 3, 4, 5
ACL_MODE, ACL_USER, ACL_GROUP = 1, 2, 3
SCRIPT_POST_INSTALL, SCRIPT_PRE_DEINSTALL, SCRIPT_POST_UPGRADE = 3, 4, 7

BLOCK_ADB, BLOCK_SIG, BLOCK_DATA = 0, 1, 2
UNIQUE_ID_BYTES = 20
SIGNATURE_VERSION, SIGNATURE_SHA512 = 0, 4


# --- what goes in -------------------------------------------------------------------------------------------

def read_description():
    """{"name": ..., "depends": [...]} of the lines "key: value"."""
    lines = [line.partition(": ") for line in (HERE / "describe").read_text(encoding="utf-8").splitlines()
             if line and not line.startswith("#")]
    description = {key: value.strip() for key, _, value in lines}
    return {**description, "depends": description["depends"].split()}


def read_scripts():
    return {path.name: path.read_bytes() for path in sorted((HERE / "scripts").iterdir())}


def read_files(agent):
    """{path without the first slash: (mode, contents)}"""
    files = {AGENT_PATH: (0o755, pathlib.Path(agent).read_bytes())}
    for path in sorted((HERE / "files").rglob("*")):
        if path.is_file():
            mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
            files[str(path.relative_to(HERE / "files"))] = (mode, path.read_bytes())
    return files


def directories_of(files):
    """{path: mode}, those that files need and those that are there for later."""
    directories = dict(EMPTY_DIRECTORIES)
    for name in [*files, *EMPTY_DIRECTORIES]:
        for parent in list(pathlib.PurePosixPath(name).parents)[:-1]:
            directories.setdefault(str(parent), DIRECTORY_MODE)
    return directories


def size_of(files):
    return sum(len(contents) for _, contents in files.values())


# --- ipk -----------------------------------------------------------------------------------------------------

def make_tar_gz(entries, mtime):
    """entries: [("./path", mode, contents or None for a directory)]"""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, mode, contents in entries:
            info = tarfile.TarInfo(name)
            info.mode, info.mtime, info.uname, info.gname = mode, mtime, "root", "root"
            info.type = tarfile.DIRTYPE if contents is None else tarfile.REGTYPE
            info.size = 0 if contents is None else len(contents)
            tar.addfile(info, None if contents is None else io.BytesIO(contents))
    return gzip.compress(raw.getvalue(), mtime=0)


def make_control(description, args, installed_bytes):
    fields = [("Package", description["name"]), ("Version", args.version), ("Depends", ", ".join(description["depends"])),
              ("License", description["license"]), ("Section", description["section"]),
              ("Maintainer", description["maintainer"]), ("Architecture", args.arch),
              ("Installed-Size", str(installed_bytes)), ("SourceDateEpoch", str(args.mtime)),
              ("Description", f"{description['summary']}\n {description['about']}")]
    return "".join(f"{name}: {value}\n" for name, value in fields).encode()


def make_ipk(description, scripts, files, args):
    control = [("./", DIRECTORY_MODE, None),
               ("./control", 0o644, make_control(description, args, size_of(files)))]
    control += [(f"./{IPK_SCRIPTS[name]}", 0o755, text) for name, text in scripts.items()]
    data = [(f"./{name}", mode, None) for name, mode in directories_of(files).items()]
    data += [(f"./{name}", mode, contents) for name, (mode, contents) in files.items()]
    return make_tar_gz([("./debian-binary", 0o644, b"2.0\n"),
                        ("./data.tar.gz", 0o644, make_tar_gz([("./", DIRECTORY_MODE, None), *sorted(data)], args.mtime)),
                        ("./control.tar.gz", 0o644, make_tar_gz(sorted(control), args.mtime))], args.mtime)


# --- apk -------------------------------------------------------------------------------------------------------

class Adb:
    """The values of an ADB block, written behind one another; each method returns the word that refers to what it wrote.

    A blob is its length (1, 2 or 4 bytes) and its bytes. An object or array is the number of its slots with this one,
    and a word a slot; an empty slot is 0, and slots that are empty to the end are left out.
    """
    INT, INT32, BLOB8, BLOB16, BLOB32, ARRAY, OBJECT = (kind << 28 for kind in (1, 2, 8, 9, 10, 13, 14))
    HEADER_BYTES = 8  # two versions and two bytes of nothing, the word of the root object

    def __init__(self):
        self.data = bytearray(self.HEADER_BYTES)
        self.known = {}

    def _put(self, kind, alignment, encoded):
        if (kind, encoded) not in self.known:
            self.data += bytes(-len(self.data) % alignment)
            self.known[kind, encoded] = kind | len(self.data)
            self.data += encoded
        return self.known[kind, encoded]

    def integer(self, value):
        return self.INT | value if value < 1 << 28 else self._put(self.INT32, 4, struct.pack("<I", value))

    def blob(self, value):
        value = value.encode() if isinstance(value, str) else value
        for kind, size, letter in ((self.BLOB8, 1, "B"), (self.BLOB16, 2, "H"), (self.BLOB32, 4, "I")):
            if len(value) < 1 << 8 * size:
                return self._put(kind, size, struct.pack("<" + letter, len(value)) + value)
        raise ValueError("a blob of 4 GiB")

    def _slots(self, kind, words):
        return self._put(kind, 4, struct.pack(f"<{len(words) + 1}I", len(words) + 1, *words))

    def array(self, words):
        return self._slots(self.ARRAY, words) if words else 0

    def object(self, fields):
        """fields: {place: word}"""
        filled = {place: word for place, word in fields.items() if word}
        return self._slots(self.OBJECT, [filled.get(place, 0) for place in range(1, max(filled) + 1)])

    def finish(self, root):
        self.data[:self.HEADER_BYTES] = struct.pack("<BBHI", 0, 0, 0, root)
        return bytes(self.data)


def make_acl(adb, mode):
    return adb.object({ACL_MODE: adb.integer(mode), ACL_USER: adb.blob("root"), ACL_GROUP: adb.blob("root")})


def make_file(adb, name, mode, contents, mtime):
    return adb.object({FILE_NAME: adb.blob(name), FILE_ACL: make_acl(adb, mode), FILE_SIZE: adb.integer(len(contents)),
                       FILE_MTIME: adb.integer(mtime), FILE_HASH: adb.blob(hashlib.sha256(contents).digest())})


def in_directory(files, directory):
    """[(name, mode, contents)] of the files right in that directory, in order."""
    return [(pathlib.PurePosixPath(path).name, mode, contents) for path, (mode, contents) in sorted(files.items())
            if str(pathlib.PurePosixPath(path).parent) == directory]


def make_info(adb, description, args, size):
    dependencies = [adb.object({DEPENDENCY_NAME: adb.blob(name)}) for name in sorted(description["depends"])]
    unique_id = bytes(UNIQUE_ID_BYTES)  # filled in when all the rest is known
    values = {"name": adb.blob(description["name"]), "version": adb.blob(args.version), "unique-id": adb.blob(unique_id),
              "description": adb.blob(description["summary"]), "arch": adb.blob(args.arch),
              "license": adb.blob(description["license"]), "origin": adb.blob(description["name"]),
              "maintainer": adb.blob(description["maintainer"]), "build-time": adb.integer(args.mtime),
              "installed-size": adb.integer(size), "depends": adb.array(dependencies)}
    return adb.object({INFO[name]: value for name, value in values.items()}), values["unique-id"] & (1 << 28) - 1


def for_upgrade(script):
    """apk has a script of its own for that, and OpenWrt's library learns it by a variable."""
    first, rest = script.split(b"\n", 1)
    return first + b"\nexport PKG_UPGRADE=1\n" + rest


def make_adb(description, scripts, files, args):
    adb = Adb()
    info, id_at = make_info(adb, description, args, size_of(files))
    paths = []
    for directory, mode in sorted(directories_of(files).items()):
        inside = [make_file(adb, *file, args.mtime) for file in in_directory(files, directory)]
        paths.append(adb.object({DIRECTORY_NAME: adb.blob(directory), DIRECTORY_ACL: make_acl(adb, mode),
                                 DIRECTORY_FILES: adb.array(inside)}))
    scripts = adb.object({SCRIPT_POST_INSTALL: adb.blob(scripts["post-install"]),
                          SCRIPT_PRE_DEINSTALL: adb.blob(scripts["pre-remove"]),
                          SCRIPT_POST_UPGRADE: adb.blob(for_upgrade(scripts["post-install"]))})
    data = bytearray(adb.finish(adb.object({PACKAGE_INFO: info, PACKAGE_PATHS: adb.array(paths),
                                            PACKAGE_SCRIPTS: scripts})))
    data[id_at + 1:id_at + 1 + UNIQUE_ID_BYTES] = hashlib.sha256(data).digest()[:UNIQUE_ID_BYTES]
    return bytes(data)


def make_block(kind, payload):
    size = len(payload) + 4
    return struct.pack("<I", kind << 30 | size) + payload + bytes(-size % 8)


def run_openssl(*arguments, data=None):
    return subprocess.run(["openssl", *arguments], input=data, capture_output=True, check=True).stdout


def sign(adb, key):
    """An ECDSA signature of the block's hash; the key is known by the hash of its public point."""
    point = run_openssl("ec", "-in", key, "-pubout", "-outform", "DER", "-conv_form", "uncompressed")[-65:]
    head = struct.pack("<BB", SIGNATURE_VERSION, SIGNATURE_SHA512) + hashlib.sha512(point).digest()[:16]
    signed = b"pckg" + head + hashlib.sha512(adb).digest()
    return head + run_openssl("dgst", "-sha512", "-sign", key, data=signed)


def make_list(description, files):
    """The names of all files, which opkg keeps by itself and OpenWrt's library looks for here beside apk."""
    listed = "".join(f"/{path}\n" for path in sorted(files)).encode()
    return {f"lib/apk/packages/{description['name']}.list": (0o644, listed)}


def make_apk(description, scripts, files, args):
    files = files | make_list(description, files)
    adb = make_adb(description, scripts, files, args)
    stream = b"ADB.pckg" + make_block(BLOCK_ADB, adb)
    if args.key:
        stream += make_block(BLOCK_SIG, sign(adb, args.key))
    for i, directory in enumerate(sorted(directories_of(files)), 1):
        for j, (_, _, contents) in enumerate(in_directory(files, directory), 1):
            if contents:
                stream += make_block(BLOCK_DATA, struct.pack("<II", i, j) + contents)
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    return b"ADBd" + deflate.compress(stream) + deflate.flush()


# --- the command --------------------------------------------------------------------------------------------------

def package_version(text):
    """What git describe says as both formats have it: 1.2.3 -> 1.2.3-r1, 1.2.3-4-gabc -> 1.2.3_git4~abc-r1."""
    text = text.removesuffix("-dirty")
    described = re.fullmatch(r"v?(\d+(?:\.\d+)*)(?:-(\d+)-g([0-9a-f]+))?", text)
    if described and not described[2] and "." in described[1]:
        return f"{described[1]}-r1"
    if described and described[2]:
        return f"{described[1]}_git{described[2]}~{described[3]}-r1"
    raise argparse.ArgumentTypeError(f"'{text}' is no version with a number")


def main():
    parser = argparse.ArgumentParser(description="Packages of OpenWrt from one tree and one description.")
    parser.add_argument("--agent", required=True)
    parser.add_argument("--arch", required=True)
    parser.add_argument("--version", required=True, type=package_version)
    parser.add_argument("--mtime", required=True, type=int)
    parser.add_argument("--key", help="private EC key (prime256v1) that signs the .apk")
    parser.add_argument("out", nargs="+")
    args = parser.parse_args()
    makers = {".ipk": make_ipk, ".apk": make_apk}
    for out in map(pathlib.Path, args.out):
        if out.suffix not in makers:
            parser.error(f"{out}: neither .ipk nor .apk")
        out.write_bytes(makers[out.suffix](read_description(), read_scripts(), read_files(args.agent), args))


if __name__ == "__main__":
    main()
