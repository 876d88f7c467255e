"""A shell in a guest, for a person: python3 -m tests.guest.shell ARCH [words for the kernel's command line]

The terminal is the guest's console. Ctrl-A X ends it, as QEMU tells; `poweroff -f` does too. No network: that is
`python3 -m tests.guest.lab shell ARCH`.
"""
import os
import pathlib
import sys
import tempfile

from tests.guest.guest import ARCHES, MACHINES, MEMORY_MB, Guest, image_dir


def main(argv):
    if len(argv) < 2 or argv[1] not in ARCHES:
        print(__doc__, file=sys.stderr)
        return 2
    arch = argv[1]
    with tempfile.TemporaryDirectory(prefix="jaga-guest-") as directory:
        initrd = pathlib.Path(directory) / "initrd"
        Guest.write_initrd(arch, initrd)
        print(f"{arch}: Enter activates the shell, Ctrl-A X ends the machine", flush=True)
        return os.spawnvp(os.P_WAIT, MACHINES[arch][0], [
            *MACHINES[arch], "-m", str(MEMORY_MB[arch]), "-nodefaults", "-display", "none", "-no-reboot",
            "-kernel", str(image_dir(arch) / "kernel"), "-initrd", str(initrd), "-serial", "mon:stdio", "-serial", "null",
            "-append", " ".join(["console=ttyS0", "rdinit=/init", *argv[2:]])])


if __name__ == "__main__":
    sys.exit(main(sys.argv))
