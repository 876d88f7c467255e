"""
What Zabbix showed S1 while it worked: once a second one ICMP echo to every router, and what its line has carried.

    python3 -m tests.bench.fleet.watch DEVICE=ADDRESS...        (in the server's namespace; root)

A line of JSON a second: "at" (monotonic clock of the echoes), and for each router "rtt_ms" (null: no answer within two seconds) and
"bytes", both ways, of its device since it was made. A line comes two seconds late, since an answer may. Ends with SIGTERM.
"""
import json
import select
import socket
import struct
import sys
import time

PATIENCE_S = 2
HEADER = struct.Struct("!BBHHH")
ECHO, REPLY = 8, 0
ECHO_BYTES = 84  # of an IP packet with the usual 56 bytes of payload


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xffff)
    return ~(total + (total >> 16)) & 0xffff


def echo(identity, number):
    payload = bytes(ECHO_BYTES - 20 - HEADER.size)
    return HEADER.pack(ECHO, 0, checksum(HEADER.pack(ECHO, 0, 0, identity, number) + payload), identity, number) + payload


def read_bytes():
    """{device: bytes received and sent}"""
    with open("/proc/self/net/dev", encoding="ascii") as stream:
        rows = [line.replace(":", " ").split() for line in stream.readlines()[2:]]
    return {row[0]: int(row[1]) + int(row[9]) for row in rows}


class Watch:
    def __init__(self, lines):
        self.lines = lines  # device -> address
        self.places = {address: device for device, address in lines.items()}
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        self.socket.setblocking(False)
        self.identity = 0x4a47
        self.rounds = {}  # number -> (when, {device: round-trip time}, {device: bytes})

    def ask(self, number):
        self.rounds[number] = (time.monotonic(), {}, read_bytes())
        for address in self.lines.values():
            try:
                self.socket.sendto(echo(self.identity, number), (address, 0))
            except OSError:
                pass  # no way there: nobody answers, which is what is recorded

    def listen(self, until_s):
        while (left_s := until_s - time.monotonic()) > 0:
            if not select.select([self.socket], [], [], left_s)[0]:
                return
            packet, (address, _) = self.socket.recvfrom(2048)
            now_s = time.monotonic()
            kind, _, _, identity, number = HEADER.unpack_from(packet, (packet[0] & 15) * 4)
            if kind == REPLY and identity == self.identity and number in self.rounds and address in self.places:
                asked_s, times, _ = self.rounds[number]
                times.setdefault(self.places[address], round((now_s - asked_s) * 1000, 2))

    def tell(self, number):
        if number in self.rounds:
            asked_s, times, carried = self.rounds.pop(number)
            print(json.dumps({"at": asked_s, "routers": {device: {"rtt_ms": times.get(device), "bytes": carried.get(device, 0)}
                                                         for device in self.lines}}), flush=True)

    def run(self):
        begun_s, number = time.monotonic(), 0
        while True:
            self.ask(number & 0xffff)
            number += 1
            self.listen(begun_s + number)
            self.tell((number - 1 - PATIENCE_S) & 0xffff)


if __name__ == "__main__":
    Watch(dict(word.split("=") for word in sys.argv[1:])).run()
