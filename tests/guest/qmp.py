"""QEMU's machine protocol, as much as the guests need: commands that are answered; events are passed over."""
import json
import socket

from tests.lab.lab import LabError

TIMEOUT_S = 30


class Qmp:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(TIMEOUT_S)
        self.socket.connect(str(path))
        self.lines = self.socket.makefile("r", encoding="utf-8")
        self.lines.readline()  # its greeting
        self.execute("qmp_capabilities")

    def execute(self, command, **arguments):
        """The command's "return"; LabError with QEMU's words when it refuses."""
        self.socket.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        while True:
            line = self.lines.readline()
            if not line:
                raise LabError(f"QEMU ended before it answered {command}")
            answer = json.loads(line)
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise LabError(f"QEMU refuses {command}: {answer['error']['desc']}")

    def close(self):
        self.lines.close()
        self.socket.close()
