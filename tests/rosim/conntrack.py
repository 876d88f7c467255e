"""Forgets connections of a namespace one by one, as a script on a router does, without starting a program for each.

ctnetlink (linux/netfilter/nfnetlink_conntrack.h): a message that names the original tuple. Only what has ports; the rest
is left to the conntrack tool. Called by net.py."""
import ctypes
import socket
import struct
import threading

NETLINK_NETFILTER, AF_INET = 12, 2
DELETE = 1 << 8 | 2  # subsystem conntrack
REQUEST, ACK, NESTED = 1, 4, 0x8000
PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132, "dccp": 33, "udplite": 136}


def enter_namespace(name):
    """Of this thread alone."""
    with open(f"/run/netns/{name}", encoding="ascii") as namespace:
        if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), 0) != 0:
            raise OSError(ctypes.get_errno(), f"setns {name}")


def attribute(kind, payload):
    return struct.pack("=HH", 4 + len(payload), kind) + payload + b"\0" * (-len(payload) % 4)


class Forgetter:
    """A socket belongs to the namespace in which it was made, wherever it is used."""

    def __init__(self, netns):
        self.socket, self.sequence = None, 0
        thread = threading.Thread(target=self._open, args=(netns,))
        thread.start()
        thread.join()
        if self.socket is None:
            raise OSError(f"no netlink in {netns}")

    def _open(self, netns):
        enter_namespace(netns)
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)

    @staticmethod
    def knows(protocol):
        return protocol in PROTOCOLS

    def forget(self, protocol, source, target, sport, dport):
        """A negative errno when there is none such."""
        addresses = attribute(1, socket.inet_aton(source)) + attribute(2, socket.inet_aton(target))
        ports = attribute(1, bytes([PROTOCOLS[protocol]])) + attribute(2, struct.pack(">H", int(sport))) + attribute(
            3, struct.pack(">H", int(dport)))
        body = struct.pack("=BBH", AF_INET, 0, 0) + attribute(1 | NESTED, attribute(1 | NESTED, addresses) + attribute(2 | NESTED, ports))
        self.sequence += 1
        self.socket.send(struct.pack("=IHHII", 16 + len(body), DELETE, REQUEST | ACK, self.sequence, 0) + body)
        return struct.unpack_from("=i", self.socket.recv(4096), 16)[0]

    def __del__(self):
        if self.socket is not None:
            self.socket.close()

