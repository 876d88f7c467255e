"""What a guest boots: a kernel and root.cpio, made once by make from busybox, our tools and Debian's kernel package.

    python3 -m tests.guest.image kernel VMLINUZ --out KERNEL
        an ELF file that QEMU starts without a boot loader
    python3 -m tests.guest.image root BUSYBOX --out ROOT.cpio [--modules DIR] [PROGRAM...]
        busybox with its names (BUSYBOX.links), other static programs into /bin, tests/guest/root into its places, and
        of DIR (an unpacked Debian kernel package) the modules that a router might want, with what they need
"""
import argparse
import lzma
import pathlib
import stat
import subprocess

from tests.guest.cpio import Archive

HERE = pathlib.Path(__file__).resolve().parent
PLACES = {"inittab": "etc/inittab", "rc": "etc/rc", "profile": "etc/profile", "serve": "sbin/serve"}
XZ_MAGIC, ELF_MAGIC = b"\xfd7zXZ\0", b"\x7fELF"
# Folders and names below /lib/modules/VERSION/kernel that are taken whole.
MODULES = ("net/netfilter", "net/ipv4/netfilter", "net/ipv6/netfilter", "net/8021q", "net/bridge/bridge.ko", "net/l2tp",
           "net/sched/sch_netem.ko", "net/sched/sch_fq_codel.ko", "net/sched/sch_tbf.ko", "net/ipv4/inet_diag.ko",
           "net/ipv4/udp_diag.ko", "net/ipv4/tcp_diag.ko", "net/packet", "drivers/net/ppp", "drivers/net/wireguard",
           "drivers/net/dummy.ko", "drivers/net/veth.ko", "drivers/net/tun.ko", "drivers/net/virtio_net.ko",
           "drivers/net/ethernet/amd/pcnet32.ko", "drivers/block/virtio_blk.ko", "drivers/block/loop.ko", "drivers/virtio/virtio_pci.ko",
           "drivers/char/hw_random/virtio-rng.ko", "fs/ext4", "fs/squashfs", "fs/overlayfs", "fs/jffs2", "drivers/mtd/devices/block2mtd.ko",
           "drivers/mtd/devices/mtdram.ko", "drivers/mtd/mtdblock.ko", "drivers/rtc/rtc-cmos.ko",
           "crypto/crc32c_generic.ko")  # what libcrc32c asks for without being bound to it


def unpack_kernel(packed):
    """A bzImage holds an xz archive of the ELF file; without the decompressor in front the guest starts seconds earlier."""
    if packed.startswith(ELF_MAGIC):
        return packed
    at = packed.find(XZ_MAGIC)
    if at < 0:
        raise SystemExit("image: the kernel is neither an ELF file nor packed with xz")
    elf = lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(packed[at:])
    if not elf.startswith(ELF_MAGIC):
        raise SystemExit("image: what is packed in the kernel is no ELF file")
    return elf


def module_closure(tree):
    """Paths below tree (…/lib/modules/VERSION) of the modules that are wanted and of all that they need."""
    needs = {}
    for line in (tree / "modules.dep").read_text(encoding="ascii").splitlines():
        name, _, rest = line.partition(":")
        needs[name] = rest.split()
    wanted = {name for name in needs if any(name == f"kernel/{m}" or name.startswith(f"kernel/{m}/") for m in MODULES)}
    while more := {need for name in wanted for need in needs[name]} - wanted:
        wanted |= more
    return sorted(wanted)


def add_modules(archive, package):
    """Modules, and the indexes by which the kernel's own requests find them."""
    tree = next(package.glob("lib/modules/*"), None) or next(package.glob("usr/lib/modules/*"))
    subprocess.run(["depmod", "-b", str(package), tree.name], check=True)
    wanted = module_closure(tree)
    base = f"lib/modules/{tree.name}"
    for name in wanted:
        archive.file(f"{base}/{name}", (tree / name).read_bytes())
    stems = {pathlib.PurePath(name).stem.replace("-", "_") for name in wanted}
    dep = [line for line in (tree / "modules.dep").read_text(encoding="ascii").splitlines() if line.partition(":")[0] in wanted]
    alias = [line for line in (tree / "modules.alias").read_text(encoding="ascii").splitlines()
             if line.startswith("alias ") and line.split()[-1] in stems]
    archive.file(f"{base}/modules.dep", ("\n".join(dep) + "\n").encode())
    archive.file(f"{base}/modules.alias", ("\n".join(alias) + "\n").encode())


def build_root(busybox, programs, modules):
    archive = Archive()
    for folder in ("dev", "proc", "sys", "run", "tmp", "root", "etc", "usr/sbin", "usr/bin", "var", "lib", "mnt"):
        archive.folder(folder)
    # The console of the first moments, until rc has mounted devtmpfs.
    archive.device("dev/console", stat.S_IFCHR | 0o600, 5, 1)
    archive.device("dev/null", stat.S_IFCHR | 0o666, 1, 3)
    for program in (busybox, *programs):
        archive.file(f"bin/{program.name}", program.read_bytes(), 0o755)
    for name in [*busybox.with_name(busybox.name + ".links").read_text(encoding="ascii").split(), "init"]:
        archive.link(name, "/bin/busybox")
    for name, place in PLACES.items():
        archive.file(place, (HERE / "root" / name).read_bytes(), 0o755)
    archive.file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n")
    archive.file("etc/group", b"root:x:0:\n")
    if modules:
        add_modules(archive, modules)
    return archive.finish()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="kind", required=True)
    kernel = kinds.add_parser("kernel")
    kernel.add_argument("vmlinuz", type=pathlib.Path)
    root = kinds.add_parser("root")
    root.add_argument("busybox", type=pathlib.Path)
    root.add_argument("programs", type=pathlib.Path, nargs="*")
    root.add_argument("--modules", type=pathlib.Path)
    for each in (kernel, root):
        each.add_argument("--out", type=pathlib.Path, required=True)
    args = parser.parse_args()
    data = unpack_kernel(args.vmlinuz.read_bytes()) if args.kind == "kernel" else \
        build_root(args.busybox, args.programs, args.modules)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    part = args.out.with_name(args.out.name + ".part")
    part.write_bytes(data)
    part.replace(args.out)


if __name__ == "__main__":
    main()
