"""A reader of .ipk packages, by Python's tarfile; gives the same kind of Package as apk.py does."""
import io
import tarfile

from tests.openwrt.apk import Package

SCRIPTS = ("preinst", "postinst", "prerm", "postrm")


def open_tar(contents):
    return tarfile.open(fileobj=io.BytesIO(contents), mode="r:gz")


def read_members(contents):
    """{name without "./": (TarInfo, bytes)}, in order."""
    with open_tar(contents) as tar:
        return {member.name.removeprefix("./"): (member, tar.extractfile(member).read() if member.isfile() else None)
                for member in tar}


def read_control(text):
    fields, last = {}, None
    for line in text.splitlines():
        if line.startswith(" "):
            fields[last] += "\n" + line
        else:
            last, _, value = line.partition(": ")
            fields[last] = value
    return fields


def read_ipk(path):
    """(Package, control fields)"""
    outer = read_members(path.read_bytes())
    assert list(outer) == ["debian-binary", "data.tar.gz", "control.tar.gz"]
    assert outer["debian-binary"][1] == b"2.0\n"
    control, data = read_members(outer["control.tar.gz"][1]), read_members(outer["data.tar.gz"][1])
    fields = read_control(control["control"][1].decode())
    directories = {name: (member.mode, member.uname, member.gname) for name, (member, _) in data.items()
                   if member.isdir() and name != "."}
    files = {name: (member.mode, member.uname, member.gname, member.mtime, contents)
             for name, (member, contents) in data.items() if member.isfile()}
    assert len(directories) + len(files) + 1 == len(data), "something else than files and directories"
    assert list(control) == sorted(control) and list(data) == sorted(data)
    assert {(member.uid, member.gid) for member, _ in data.values()} == {(0, 0)}
    info = {"name": fields["Package"], "version": fields["Version"], "arch": fields["Architecture"],
            "license": fields["License"], "depends": sorted(fields["Depends"].split(", ")),
            "installed-size": int(fields["Installed-Size"])}
    scripts = {name: control[name][1] for name in SCRIPTS if name in control}
    assert all(control[name][0].mode == 0o755 for name in scripts)
    assert set(control) == {".", "control", *scripts}
    return Package(info, directories, files, scripts, [], b""), fields
