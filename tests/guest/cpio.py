"""An initramfs, written without root and without device files on the host: the "newc" format of cpio.

The kernel unpacks archives that follow each other, so what is the same for all guests is made once (make) and what one
guest gets on top is another archive behind it. See the kernel's Documentation/driver-api/early-userspace/buffer-format.rst.
"""
import io
import stat


class Archive:
    """Entries in the order they are added; folders on the way are added by themselves."""

    def __init__(self):
        self.out, self.folders, self.inode = io.BytesIO(), set(), 0

    def _entry(self, name, mode, data=b"", device=(0, 0)):
        self.inode += 1
        encoded = name.encode() + b"\0"
        fields = (self.inode, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(encoded), 0)
        self.out.write(b"070701" + b"".join(b"%08X" % field for field in fields))
        self.out.write(encoded)
        self._pad()
        self.out.write(data)
        self._pad()

    def _pad(self):
        self.out.write(b"\0" * (-self.out.tell() % 4))

    def folder(self, path):
        parts = path.strip("/").split("/")
        for count in range(1, len(parts) + 1):
            name = "/".join(parts[:count])
            if name and name not in self.folders:
                self.folders.add(name)
                self._entry(name, stat.S_IFDIR | 0o755)

    def _parent(self, path):
        parent = path.strip("/").rpartition("/")[0]
        if parent:
            self.folder(parent)

    def file(self, path, data, mode=0o644):
        self._parent(path)
        self._entry(path.strip("/"), stat.S_IFREG | mode, data)

    def link(self, path, target):
        self._parent(path)
        self._entry(path.strip("/"), stat.S_IFLNK | 0o777, target.encode())

    def device(self, path, mode, major, minor):
        self._parent(path)
        self._entry(path.strip("/"), mode, device=(major, minor))

    def finish(self):
        """The whole archive, padded as cpio pads it."""
        self._entry("TRAILER!!!", 0)
        self.out.write(b"\0" * (-self.out.tell() % 512))
        return self.out.getvalue()
