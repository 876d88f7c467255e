"""Users who keep sending: long-lived TCP and UDP flows through the router, one small packet each, again and again.

    streams.py FLOWS INTERVAL_MS      half of the flows TCP, half UDP; runs in the lan namespace

Says "open N" when all flows have been answered once, and sends until stdin ends; a line on stdin has it say the same again
once all have been answered after that, or "failed N". A TCP connection that is reset opens again, as a browser does; a
datagram that gets no answer is followed by the next. Nothing is measured here: who counts packets is the provider
(tests/guest/test_flowtable.py).
"""
import selectors
import socket
import sys
import time

from tests.lab.lab import CLIENTS, INTERNET, PATIENCE

PORT = 7
OPEN_TIMEOUT_S = 30 * PATIENCE


class Stream:
    """One flow, from an address of its own pair."""

    def __init__(self, kind, number, selector):
        self.kind, self.selector, self.sock, self.is_answered = kind, selector, None, False
        self.client = CLIENTS[number % len(CLIENTS)]
        self.server = INTERNET[(number // len(CLIENTS) + number) % len(INTERNET)]
        self.open()

    def open(self):
        self.sock = socket.socket(socket.AF_INET, self.kind)
        self.sock.setblocking(False)
        self.sock.bind((self.client, 0))
        self.sock.connect_ex((self.server, PORT))
        self.selector.register(self.sock, selectors.EVENT_READ, self)

    def send(self):
        try:
            self.sock.send(b"x" * 32)
        except BlockingIOError:
            pass  # a full send buffer: it is being retransmitted
        except OSError:
            if self.kind == socket.SOCK_STREAM:
                self.reopen()

    def reopen(self):
        self.selector.unregister(self.sock)
        self.sock.close()
        self.open()

    def read(self):
        try:
            data = self.sock.recv(65536)
        except OSError:
            data = b""
        if data:
            self.is_answered = True
        elif self.kind == socket.SOCK_STREAM:
            self.reopen()


def main():
    count, interval_s = int(sys.argv[1]), int(sys.argv[2]) / 1000
    selector = selectors.DefaultSelector()
    selector.register(sys.stdin, selectors.EVENT_READ, None)
    kinds = (socket.SOCK_STREAM, socket.SOCK_DGRAM)
    streams = [Stream(kinds[i % 2], i // 2, selector) for i in range(count)]
    told, deadline, due = False, time.monotonic() + OPEN_TIMEOUT_S, time.monotonic()
    while True:
        for key, _ in selector.select(max(0, due - time.monotonic())):
            if key.data is not None:
                key.data.read()
            elif sys.stdin.readline():
                told, deadline = False, time.monotonic() + OPEN_TIMEOUT_S
                for stream in streams:
                    stream.is_answered = False
            else:
                return 0  # the test is done
        if time.monotonic() >= due:
            for stream in streams:
                stream.send()
            due = time.monotonic() + interval_s
        if not told and all(stream.is_answered for stream in streams):
            told = True
            print("open", len(streams), flush=True)
        if not told and time.monotonic() > deadline:
            told = True
            print("failed", sum(not stream.is_answered for stream in streams), flush=True)


if __name__ == "__main__":
    sys.exit(main())
