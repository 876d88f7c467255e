"""The container images of `make packages-routeros`: what RouterOS will read in them, and that their agent runs.

RouterOS cannot be run here. Instead each image goes through a reader that is not ours (skopeo), its layer is looked at
header by header, and its program is started by qemu on the oldest CPU that the image is for, in the layer as its root.
"""
import hashlib
import io
import json
import pathlib
import shutil
import signal
import subprocess
import tarfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
IMAGES = ROOT / "build" / "packages" / "routeros"
BLOCK_BYTES = 512

# image: (architecture, variant, emulator, the oldest CPU that it is for)
PLATFORMS = {
    "armv5": ("arm", "v5", "qemu-arm-static", "arm926"),
    "armv7": ("arm", "v7", "qemu-arm-static", "cortex-a7"),
    "arm64": ("arm64", "v8", "qemu-aarch64-static", "cortex-a53"),
    "amd64": ("amd64", None, "qemu-x86_64-static", "qemu64"),
}

# The whole content of a layer.
LAYER = {
    "etc": ("drwxr-xr-x", None),
    "etc/group": ("-rw-r--r--", b"root:x:0:\n"),
    "etc/jaga": ("drwx------", None),
    "etc/passwd": ("-rw-r--r--", b"root:x:0:0:root:/:/sbin/nologin\n"),
    "run": ("drwxr-xr-x", None),
    "usr": ("drwxr-xr-x", None),
    "usr/sbin": ("drwxr-xr-x", None),
    "usr/sbin/jaga-agent": ("-rwxr-xr-x", None),
    "var": ("drwxr-xr-x", None),
    "var/lib": ("drwxr-xr-x", None),
    "var/lib/jaga-agent": ("drwx------", None),
}

GOOD_CONFIG = """[lan]
interfaces = veth-lan
[uplink isp1]
interface = veth-isp1
targets = 192.0.2.1, 198.51.100.1
"""


class Image:
    """One built image, opened."""

    def __init__(self, name):
        built = sorted(IMAGES.glob(f"jaga-agent-*-{name}.tar"), key=lambda path: path.stat().st_mtime)
        assert built, f"no image for {name} in {IMAGES}: make packages-routeros"
        self.name = name
        self.path = built[-1]
        self.version = self.path.name[len("jaga-agent-"):-len(f"-{name}.tar")]
        self.architecture, self.variant, self.emulator, self.cpu = PLATFORMS[name]
        with tarfile.open(self.path) as archive:
            self.members = archive.getmembers()
            self.files = {member.name: archive.extractfile(member).read() for member in self.members}
        self.manifest = json.loads(self.files["manifest.json"])
        self.config = json.loads(self.files["config.json"])
        self.layer = self.files["layer.tar"]

    def run(self, root, *arguments, cpu=None):
        """The agent under qemu, with ROOT (the extracted layer) as its root directory."""
        shutil.copy2(shutil.which(self.emulator), root / "qemu")
        program = self.config["config"]["Entrypoint"]
        return subprocess.run(["chroot", root, "/qemu", "-cpu", cpu or self.cpu, *program, *arguments],
                              capture_output=True, text=True, timeout=60)

    def extract(self, root):
        with tarfile.open(fileobj=io.BytesIO(self.layer)) as layer:
            layer.extractall(root, numeric_owner=True)
        return root


@pytest.fixture(params=PLATFORMS)
def image(request):
    return Image(request.param)


@pytest.fixture
def layer_root(image, tmp_path):
    return image.extract(tmp_path / "root")


def skopeo(*arguments):
    ran = subprocess.run(["skopeo", "--insecure-policy", *map(str, arguments)], capture_output=True, text=True,
                         timeout=60)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def headers(tar):
    """The raw header blocks of a tar: (name, typeflag, magic)."""
    at = 0
    while at + BLOCK_BYTES <= len(tar) and tar[at]:
        header = tar[at:at + BLOCK_BYTES]
        yield header[:100].rstrip(b"\0").decode(), header[156:157], header[257:265]
        at += BLOCK_BYTES + -(-int(header[124:135], 8) // BLOCK_BYTES) * BLOCK_BYTES


def test_it_is_a_docker_archive_of_one_uncompressed_layer(image):
    assert [member.name for member in image.members] == ["config.json", "layer.tar", "manifest.json"]
    assert image.manifest == [{"Config": "config.json", "RepoTags": [f"jaga-agent:{image.version}"],
                               "Layers": ["layer.tar"]}]
    assert image.config["rootfs"] == {"type": "layers",
                                      "diff_ids": ["sha256:" + hashlib.sha256(image.layer).hexdigest()]}
    assert len(image.config["history"]) == 1


def test_its_tars_are_plain_ustar(image):
    """No extended headers, which a small reader may not know: only files and directories."""
    for tar in (image.path.read_bytes(), image.layer):
        found = list(headers(tar))
        assert {magic for _, _, magic in found} == {b"ustar\x0000"}
        assert {flag for _, flag, _ in found} <= {b"0", b"5"}, found
    assert len(list(headers(image.layer))) == len(LAYER)


def test_it_says_what_cpu_it_is_for(image):
    assert image.config["architecture"] == image.architecture
    assert image.config.get("variant") == image.variant
    assert image.config["os"] == "linux"


def test_its_layer_holds_these_files_and_no_others(image):
    with tarfile.open(fileobj=io.BytesIO(image.layer)) as layer:
        members = layer.getmembers()
        assert [member.name for member in members] == sorted(LAYER)
        for member in members:
            mode, content = LAYER[member.name]
            kind = "d" if member.isdir() else "-"
            assert kind + tarfile.stat.filemode(member.mode)[1:] == mode, member.name
            assert (member.uid, member.gid, member.uname, member.gname) == (0, 0, "root", "root"), member.name
            assert member.mtime == image.members[0].mtime, member.name
            if content is not None:
                assert layer.extractfile(member).read() == content


def test_another_program_reads_it(image, tmp_path):
    inspected = json.loads(skopeo("inspect", f"docker-archive:{image.path}"))
    assert inspected["Architecture"] == image.architecture
    assert len(inspected["Layers"]) == 1
    assert inspected["Labels"]["org.opencontainers.image.version"] == image.version
    skopeo("copy", "--quiet", f"docker-archive:{image.path}", f"oci:{tmp_path}/oci:it")
    layout = json.loads(skopeo("inspect", "--config", f"oci:{tmp_path}/oci:it"))
    assert layout == image.config
    skopeo("copy", "--quiet", f"docker-archive:{image.path}", f"dir:{tmp_path}/dir")
    manifest = json.loads((tmp_path / "dir" / "manifest.json").read_text())
    digest = manifest["layers"][0]["digest"].removeprefix("sha256:")
    assert (tmp_path / "dir" / digest).read_bytes() == image.layer


def test_a_damaged_image_is_refused(image, tmp_path):
    """The reader that the tests trust does verify the layer."""
    at = image.path.read_bytes().index(b"root:x:0:0:root")
    damaged = bytearray(image.path.read_bytes())
    damaged[at] ^= 1
    (tmp_path / "damaged.tar").write_bytes(damaged)
    ran = subprocess.run(["skopeo", "--insecure-policy", "copy", f"docker-archive:{tmp_path}/damaged.tar",
                          f"dir:{tmp_path}/dir"], capture_output=True, text=True, timeout=60)
    assert ran.returncode != 0
    assert "digest" in ran.stderr.lower()


def test_its_agent_runs(image, layer_root):
    ran = image.run(layer_root, "--version")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("jaga-agent ")
    assert ran.stdout.split()[1].removeprefix("v") == image.version


def test_its_agent_reads_the_mounted_configuration(image, layer_root):
    config = layer_root / "etc" / "jaga" / "agent.conf"
    config.write_text(GOOD_CONFIG)
    ran = image.run(layer_root, "--check")
    # The file is understood; then it wants to ask netfilter, whose sockets the emulator does not have.
    assert (ran.returncode, ran.stdout) == (1, ""), ran.stderr
    assert "cannot open a netlink socket (protocol 12)" in ran.stderr
    config.write_text(GOOD_CONFIG.replace("targets", "tragets"))
    ran = image.run(layer_root, "--check")
    assert ran.returncode == 2
    assert "/etc/jaga/agent.conf:5:" in ran.stderr


def test_only_the_armv5_image_runs_on_an_armv5_cpu(tmp_path):
    """What the emulator proves above: the CPU of the hEX refresh ends what is built for another with SIGILL."""
    image = Image("armv7")
    ran = image.run(image.extract(tmp_path / "root"), "--version", cpu=PLATFORMS["armv5"][3])
    assert -ran.returncode == signal.SIGILL, ran.stdout


def test_it_is_made_again_byte_for_byte(image, layer_root, tmp_path):
    """In another directory, at another time, under another umask."""
    platform = "/".join(filter(None, (image.architecture, image.variant)))
    (tmp_path / "elsewhere").mkdir(mode=0o2770)
    again = tmp_path / "elsewhere" / "again.tar"
    subprocess.run(["sh", "-c", 'umask 077; exec "$0" "$@"', ROOT / "firmware-build/routeros/image.sh",
                    layer_root / "usr/sbin/jaga-agent", platform, image.version, str(image.members[0].mtime), again],
                   check=True, timeout=60)
    assert again.read_bytes() == image.path.read_bytes()
