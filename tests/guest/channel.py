"""The harness's line to a guest: commands and files over its second serial port (root/serve is the other end).

A serial port because every machine has one, from the first millisecond, without a driver that a test may want to
be without. Lines in both directions; what is binary travels in base64. One command at a time: who calls from
several threads waits for the others.
"""
import base64
import re
import select
import socket
import threading
import time

from tests.lab.lab import LabError

# A line to the guest. Its tty keeps 4095 bytes for a reader that is slow; more could be lost.
LINE_BYTES = 3900
GRACE_S = 30  # what a guest on a busy host may need to start a command and to hand over its output


class Channel:
    """Connected to QEMU's socket; is_alive() says whether the guest can still answer."""

    def __init__(self, path, is_alive):
        self.is_alive, self.number, self.lock, self.buffer = is_alive, 0, threading.Lock(), b""
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))

    def close(self):
        self.socket.close()

    def _read_line(self, deadline):
        while b"\n" not in self.buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not self.is_alive():
                raise LabError("the guest does not answer" if left <= 0 else "the guest has ended")
            if select.select([self.socket], [], [], min(left, 0.5))[0]:
                data = self.socket.recv(65536)
                if not data:
                    raise LabError("the guest has ended")
                self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.strip(b"\r").decode(errors="replace")

    def wait_serving(self, timeout_s):
        deadline = time.monotonic() + timeout_s
        while self._read_line(deadline) != "serving":
            pass

    def ask(self, command, timeout_s):
        """(exit status, output bytes) of a shell command that fits on a line."""
        encoded = base64.b64encode(command)
        with self.lock:
            self.number += 1
            line = b"%d %d %s\n" % (self.number, max(1, int(timeout_s)), encoded)
            if len(line) > LINE_BYTES:
                raise LabError(f"a command of {len(command)} bytes is too long; use put()")
            self.socket.sendall(line)
            return self._read_answer(time.monotonic() + timeout_s + GRACE_S)

    def _read_answer(self, deadline):
        while True:
            # What an earlier command that was given up has left behind is passed over.
            match = re.fullmatch(rf"begin {self.number} (\d+)", self._read_line(deadline))
            if match:
                break
        body = []
        while (line := self._read_line(deadline)) != f"end {self.number}":
            body.append(line)
        return int(match[1]), base64.b64decode("".join(body))
