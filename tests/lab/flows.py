"""A LAN's worth of users: opens TCP connections from many client addresses to many destinations,
holds them, and tells which uplink each took (echod says under which public address it saw it).

Runs in the lan namespace; commands on stdin, one line of JSON back for each:
    open N [V6]   N more connections, each from the next pair of (client, destination)
                  {"opened": n, "failed": n, "by": {public address: n}}
    check         an echo on every held connection
                  {"held": n, "alive": n, "by": {...}}; the dead are dropped after being counted
    drop          closes all {"held": 0}

What does not answer is given up a second after the last of them that did: a busy machine serves them one by one.
"""
import itertools
import json
import select
import socket
import sys
import time

from tests.lab.lab import CLIENTS, CLIENTS6, INTERNET, INTERNET6

PORT = 7
SILENCE_S = 1.0


def pairs(clients, destinations):
    """Every client meets every destination, neighbours in neither order."""
    for turn in itertools.count():
        for i, client in enumerate(clients):
            yield client, destinations[(i + turn) % len(destinations)]


class Flows:
    def __init__(self):
        self.held = []  # (socket, public address)
        self.pairs = {4: pairs(CLIENTS, INTERNET), 6: pairs(CLIENTS6, INTERNET6)}

    def open(self, count, family):
        """Opens in parallel; a connection counts when echod has said who it saw."""
        waiting = {}
        for _ in range(count):
            client, destination = next(self.pairs[family])
            sock = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_STREAM)
            sock.setblocking(False)
            sock.bind((client, 0))
            sock.connect_ex((destination, PORT))
            waiting[sock] = b""
        opened = self._collect(waiting, lambda data: data.endswith(b"\n"))
        by = {}
        for sock, data in opened.items():
            seen = data.decode().strip()
            by[seen] = by.get(seen, 0) + 1
            self.held.append((sock, seen))
        return {"opened": len(opened), "failed": count - len(opened), "by": by}

    @staticmethod
    def _collect(waiting, is_whole):
        """{socket: data} of those that sent something whole before all fell silent; closes the rest."""
        done, deadline = {}, time.monotonic() + SILENCE_S
        poll = select.poll()
        by_fd = {sock.fileno(): sock for sock in waiting}
        for fd in by_fd:
            poll.register(fd, select.POLLIN)
        while waiting and time.monotonic() < deadline:
            for fd, _ in poll.poll(max(0, (deadline - time.monotonic()) * 1000)):
                sock = by_fd[fd]
                try:
                    data = sock.recv(4096)
                except BlockingIOError:
                    continue
                except OSError:
                    data = b""
                if not data:
                    poll.unregister(fd)
                    del waiting[sock]
                    sock.close()
                    continue
                deadline = time.monotonic() + SILENCE_S
                waiting[sock] += data
                if is_whole(waiting[sock]):
                    poll.unregister(fd)
                    done[sock] = waiting.pop(sock)
        for sock in waiting:
            sock.close()
        return done

    def check(self):
        held = len(self.held)
        waiting = {}
        for sock, _ in self.held:
            try:
                sock.send(b"still there?\n")
                waiting[sock] = b""
            except OSError:
                sock.close()
        alive = self._collect(waiting, lambda data: data.endswith(b"\n"))
        self.held = [(sock, seen) for sock, seen in self.held if sock in alive]
        by = {}
        for _, seen in self.held:
            by[seen] = by.get(seen, 0) + 1
        return {"held": held, "alive": len(alive), "by": by}

    def drop(self):
        for sock, _ in self.held:
            sock.close()
        self.held = []
        return {"held": 0}


def main():
    flows = Flows()
    for line in sys.stdin:
        words = line.split()
        if words[0] == "open":
            answer = flows.open(int(words[1]), 6 if words[2:] == ["6"] else 4)
        else:
            answer = {"check": flows.check, "drop": flows.drop}[words[0]]()
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
