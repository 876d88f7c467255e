"""One request to the script unit, as an agent makes it: script_client.py SOCKET TEXT.

A second implementation of the two messages of agent/script_unit.h; prints "exit=N reason=... output=...".
"""
import array
import os
import socket
import struct
import sys

VERSION, TIMEOUT_MS = 1, 10000
REQUEST = "@I32sq"
ANSWER = "@Iiq??128s"


def main(path, text):
    script = os.memfd_create("script")
    os.write(script, text.encode())
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as unit:
        unit.settimeout(60)
        unit.connect(path)
        unit.sendmsg([struct.pack(REQUEST, VERSION, b"1", TIMEOUT_MS)],
                     [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [script]))])
        answer = unit.recv(256 * 1024)
    size = (struct.calcsize(ANSWER) + 7) & ~7
    _, status, _, _, _, reason = struct.unpack(ANSWER, answer[:struct.calcsize(ANSWER)])
    print(f"exit={status} reason={reason.rstrip(bytes(1)).decode()} output={answer[size:].decode()}")


if __name__ == "__main__":
    main(*sys.argv[1:])
