"""A reader of .apk packages, version 3: written from the description of the format, knowing nothing of our writer.

read_apk(path) gives a Package, or raises Broken: every offset, hash, size and order is checked, and all bytes are read.
"""
import dataclasses
import hashlib
import struct
import zlib

KINDS = {0x0: "special", 0x1: "int", 0x2: "int32", 0x3: "int64", 0x8: "blob8", 0x9: "blob16", 0xa: "blob32", 0xd: "array",
         0xe: "object"}
INFO_FIELDS = ("name", "version", "hashes", "description", "arch", "license", "origin", "maintainer", "url", "repo-commit",
               "build-time", "installed-size", "file-size", "provider-priority", "depends", "provides", "replaces")
SCRIPT_FIELDS = ("trigger", "pre-install", "post-install", "pre-deinstall", "post-deinstall", "pre-upgrade",
                 "post-upgrade")


class Broken(Exception):
    """The file is not what apk-tools takes for a package."""


@dataclasses.dataclass
class Package:
    info: dict
    directories: dict  # path: (mode, user, group)
    files: dict        # path: (mode, user, group, mtime, contents)
    scripts: dict
    signatures: list
    unique_id: bytes


class Values:
    """The payload of an ADB block."""

    def __init__(self, data):
        self.data = data
        compatible, version, reserved, self.root = struct.unpack_from("<BBHI", data)
        if (compatible, version, reserved) != (0, 0, 0):
            raise Broken("unknown version of the block")

    def take(self, offset, form):
        try:
            return struct.unpack_from(form, self.data, offset)
        except struct.error as error:
            raise Broken(f"a value behind the end: {offset}") from error

    def split(self, word):
        kind = KINDS.get(word >> 28)
        if kind is None:
            raise Broken(f"unknown kind in {word:#x}")
        return kind, word & 0x0fffffff

    def integer(self, word):
        kind, value = self.split(word)
        if kind == "int":
            return value
        if kind not in ("int32", "int64"):
            raise Broken(f"{kind} where a number stands")
        return self.take(value, "<I" if kind == "int32" else "<Q")[0]

    def blob(self, word):
        kind, at = self.split(word)
        form = {"blob8": "<B", "blob16": "<H", "blob32": "<I"}.get(kind)
        if form is None:
            raise Broken(f"{kind} where text stands")
        if at % struct.calcsize(form):
            raise Broken("a blob out of line")
        length, = self.take(at, form)
        at += struct.calcsize(form)
        if at + length > len(self.data):
            raise Broken("a blob behind the end")
        return self.data[at:at + length]

    def text(self, word):
        return self.blob(word).decode()

    def slots(self, word, wanted):
        kind, at = self.split(word)
        if kind != wanted or at % 4:
            raise Broken(f"{kind} at {at} where an {wanted} stands")
        count, = self.take(at, "<I")
        if count == 0:
            raise Broken("an object of no slots")
        return self.take(at + 4, f"<{count - 1}I")

    def fields(self, word, names):
        return {name: slot for name, slot in zip(names, self.slots(word, "object")) if slot}

    def array(self, word):
        return self.slots(word, "array") if word else ()


def read_blocks(stream):
    at, blocks = 8, []
    if stream[:4] != b"ADB." or stream[4:8] != b"pckg":
        raise Broken("not a package")
    while at < len(stream):
        word, = struct.unpack_from("<I", stream, at)
        size = word & 0x3fffffff
        if size < 4 or at + size > len(stream):
            raise Broken("a block behind the end")
        blocks.append((word >> 30, stream[at + 4:at + size]))
        padded = at + (size + 7) // 8 * 8
        if stream[at + size:padded].strip(b"\0") or padded > len(stream):
            raise Broken("padding of a block")
        at = padded
    kinds = [kind for kind, _ in blocks]
    if kinds != sorted(kinds) or kinds.count(0) != 1 or 3 in kinds:
        raise Broken(f"blocks in the wrong order: {kinds}")
    return blocks


def read_acl(values, word):
    acl = values.fields(word, ("mode", "user", "group"))
    return values.integer(acl["mode"]), values.text(acl["user"]), values.text(acl["group"])


def read_info(values, word):
    info = values.fields(word, INFO_FIELDS)
    depends = [values.text(values.fields(dependency, ("name",))["name"]) for dependency in values.array(info["depends"])]
    if depends != sorted(set(depends)):
        raise Broken("dependencies are not in order")
    texts = {name: values.text(info[name]) for name in INFO_FIELDS[:8] if name in info and name != "hashes"}
    numbers = {name: values.integer(info[name]) for name in ("build-time", "installed-size")}
    return {**texts, **numbers, "depends": depends}, values.blob(info["hashes"])


def read_paths(values, word, data):
    """data: [(directory, file, contents)] of the DATA blocks."""
    directories, files, data = {}, {}, list(data)
    for i, path in enumerate(values.array(word), 1):
        directory = values.fields(path, ("name", "acl", "files"))
        name = values.text(directory["name"])
        directories[name] = read_acl(values, directory["acl"])
        inside = []
        for j, entry in enumerate(values.array(directory.get("files", 0)), 1):
            file = values.fields(entry, ("name", "acl", "size", "mtime", "hash"))
            contents = b""
            if values.integer(file["size"]):
                if not data or data[0][:2] != (i, j):
                    raise Broken(f"contents of {name} out of order")
                contents = data.pop(0)[2]
            if len(contents) != values.integer(file["size"]) or hashlib.sha256(contents).digest() != values.blob(file["hash"]):
                raise Broken(f"contents of {name} are not what was announced")
            inside.append(values.text(file["name"]))
            files[f"{name}/{inside[-1]}"] = (*read_acl(values, file["acl"]), values.integer(file["mtime"]), contents)
        if inside != sorted(inside):
            raise Broken(f"files of {name} are not in order")
    if list(directories) != sorted(directories) or data:
        raise Broken("directories out of order, or contents of no file")
    return directories, files


def check_unique_id(adb, unique_id):
    """It is the hash of the block with nothing in its place."""
    blank = adb.replace(unique_id, bytes(len(unique_id)))
    if adb.count(unique_id) != 1 or hashlib.sha256(blank).digest()[:len(unique_id)] != unique_id:
        raise Broken("the unique id is of another package")


def read_apk(path):
    raw = path.read_bytes()
    if raw[:4] != b"ADBd":
        raise Broken("not deflated")
    inflate = zlib.decompressobj(-15)
    stream = inflate.decompress(raw[4:]) + inflate.flush()
    if not inflate.eof or inflate.unused_data:
        raise Broken("cut, or something behind the end")
    blocks = read_blocks(stream)
    adb = blocks[0][1]
    values = Values(adb)
    root = values.fields(values.root, ("info", "paths", "scripts"))
    info, unique_id = read_info(values, root["info"])
    check_unique_id(adb, unique_id)
    data = [(*struct.unpack_from("<II", payload), payload[8:]) for kind, payload in blocks if kind == 2]
    directories, files = read_paths(values, root["paths"], data)
    scripts = {name: values.blob(word) for name, word in values.fields(root["scripts"], SCRIPT_FIELDS).items()}
    signatures = [(payload, adb) for kind, payload in blocks if kind == 1]
    return Package(info, directories, files, scripts, signatures, unique_id)
