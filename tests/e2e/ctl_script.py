"""A control socket that answers from a script: rows of every kind of collector/ctl.h, hostile ones
too, without a router that would have to be broken first. For tests of what `jaga` prints.

    with ScriptedCollector(path) as collector:
        collector.rows["devices"] = [{...}]             rows, then done
        collector.errors["show"] = {"error": ..., "code": "not-found"}
        collector.rows["events"] = [[row, row], [row]]  with "follow": parts, each sent at next_part()

collector.requests holds what was asked.

    python3 -m tests.e2e.ctl_script PATH      serves the example below until it is stopped
"""

import json
import os
import socket
import sys
import threading
import time

NOW_MS = int(time.time() * 1000)
MINUTE_MS = 60_000

UPLINK_DOWN = {
    "id": 41, "device": "rtr1", "time_ms": NOW_MS - 12 * MINUTE_MS, "kind": "uplink", "text": "isp1 down",
    "uplink": "isp1", "from": "up", "to": "down", "cause": "probes", "detect_us": 612_345, "switch_us": 412,
    "flows_moved": 37, "carried_by": "isp2", "lasted_ms": 86_400_000, "misses": 5, "misses_needed": 5,
    "probes": [{"target": "203.0.113.1", "sent": 5, "lost": 5, "rtt_us": 9000, "timeout_us": 200_000},
               {"target": "203.0.113.2", "sent": 5, "lost": 5, "rtt_us": 9400, "timeout_us": 200_000}],
}
DEVICE = {
    "name": "rtr1", "online": True, "address": "192.0.2.2:40123", "last_seen_ms": NOW_MS - 3000, "version": "0.1.0",
    "driver": "linux", "snapshots": 2, "jobs_waiting": 0, "enrolled_ms": NOW_MS - 90 * 24 * 60 * MINUTE_MS,
    "uplinks": [{"name": "isp1", "interface": "wan1", "state": "down", "weight": 3, "tier": 1,
                 "since_ms": NOW_MS - 12 * MINUTE_MS},
                {"name": "isp2", "interface": "wan2", "state": "up", "weight": 2, "tier": 1,
                 "since_ms": NOW_MS - 1440 * MINUTE_MS}],
}
SHOW = dict(DEVICE, hostname="edge", model="PC Engines apu4", system="Debian GNU/Linux 12, Linux 6.1.0",
            session_since_ms=NOW_MS - 120 * MINUTE_MS, boot_id="00" * 16, dropped_events=0, dropped_samples=2,
            snapshot={"n": 2, "hash": "ab" * 32, "taken_ms": NOW_MS - 30 * MINUTE_MS, "checked_ms": NOW_MS - MINUTE_MS,
                      "bytes": 48_123},
            sample={"at_ms": NOW_MS - 20_000, "conntrack_count": 1423, "conntrack_max": 65_536,
                    "mem_available_kb": 412_000, "load_permille": 120,
                    "uplinks": [{"uplink": "isp1", "state": "down", "rtt_us": 0, "loss_permille": 1000,
                                 "rx_bytes": 12_345_678_901, "tx_bytes": 2_345_678_901},
                                {"uplink": "isp2", "state": "up", "rtt_us": 9400, "loss_permille": 2,
                                 "rx_bytes": 345_678_901, "tx_bytes": 45_678_901}]})
OFFLINE = {"name": "café-2", "online": False, "last_seen_ms": NOW_MS - 180 * MINUTE_MS, "version": "0.1.0",
           "driver": "linux", "snapshots": 1, "jobs_waiting": 1, "enrolled_ms": NOW_MS, "uplinks": []}
UNSEEN = {"name": "rtr3", "online": False, "snapshots": 0, "jobs_waiting": 0, "enrolled_ms": NOW_MS, "uplinks": []}
OLD_TEXT = "config interface 'lan'\n\toption ipaddr '10.0.0.1'\n\toption mtu '1500'\nend\n"
NEW_TEXT = "config interface 'lan'\n\toption ipaddr '10.0.0.254'\n\toption mtu '1500'\nend\nmore\n"
JOB = {"job": "17", "device": "rtr1", "seq": 4, "name": "fix-dns.sh", "state": "confirmed",
       "queued_ms": NOW_MS - 5 * MINUTE_MS, "changed_ms": NOW_MS - 4 * MINUTE_MS, "exit_status": 0, "output_bytes": 12,
       "script": "echo hello\n", "output": "hello world\n", "output_truncated": False, "duration_ms": 14, "attempt": 1}

EXAMPLE = {
    "devices": [DEVICE, OFFLINE, UNSEEN],
    "show": [SHOW],
    "events": [
        {"id": 40, "device": "rtr1", "time_ms": NOW_MS - 130 * MINUTE_MS, "kind": "online", "text": "192.0.2.2:40123"},
        UPLINK_DOWN,
        {"id": 42, "device": "café-2", "time_ms": NOW_MS - 11 * MINUTE_MS, "kind": "offline", "text": "silent for 60 s"},
        {"id": 43, "device": "rtr1", "time_ms": NOW_MS - MINUTE_MS, "kind": "uplink", "text": "isp1 up", "uplink": "isp1",
         "from": "down", "to": "up", "cause": "recovered", "switch_us": 380, "lasted_ms": 11 * MINUTE_MS,
         "carried_by": "isp1"},
    ],
    "snapshots": [{"n": 1, "hash": "cd" * 32, "taken_ms": NOW_MS - 1440 * MINUTE_MS, "checked_ms": NOW_MS - 60 * MINUTE_MS,
                   "bytes": 48_000, "stored_bytes": 7_100},
                  {"n": 2, "hash": "ab" * 32, "taken_ms": NOW_MS - 30 * MINUTE_MS, "checked_ms": NOW_MS - MINUTE_MS,
                   "bytes": 48_123, "stored_bytes": 91}],
    "cat": lambda request: [{"n": request.get("n", 2), "hash": "ab" * 32, "taken_ms": NOW_MS - 30 * MINUTE_MS,
                             "text": OLD_TEXT if request.get("n") == 1 else NEW_TEXT}],
    "snapshot-take": [{"device": "rtr1", "n": 3, "hash": "ef" * 32, "changed": True}],
    "push": [{"job": "17", "state": "queued"}],
    "jobs": [JOB, dict(JOB, job="16", name="big.sh", state="started", exit_status=None)],
    "job": [JOB],
    "status": [{"problem": "uplink-down", "device": "rtr1", "since_ms": NOW_MS - 12 * MINUTE_MS,
                "text": "uplink isp1 is down", "hint": "jaga events --device rtr1 shows the evidence"},
               {"problem": "offline", "device": "café-2", "since_ms": NOW_MS - 180 * MINUTE_MS,
                "text": "the router is offline", "hint": "is it powered, and does it reach the collector's UDP port?"},
               {"counters": {"uptime_s": 4000, "batches": 1203, "events": 44, "refused": 0, "store_bytes": 45056}}],
    "doctor": [{"level": "ok", "id": "version", "what": "RouterOS 7.20"},
               {"level": "warning", "id": "mss", "what": "no rule clamps segment sizes", "fix": "/ip firewall mangle add ..."}],
    "enroll": [{"device": "rtr9", "key": "5a" * 32, "collector": "192.0.2.10:5684"}],
    "remove": [],
}


def without_none(row):
    return {key: value for key, value in row.items() if value is not None}


class ScriptedCollector:
    def __init__(self, path, rows=None):
        self.path = str(path)
        self.rows = dict(EXAMPLE if rows is None else rows)
        self.errors = {}
        self.partial = {}  # an error after the rows, in the place of done
        self.requests = []
        self.raw = None  # bytes to answer with, whatever was asked
        self._parts = threading.Semaphore(0)
        self._closing = False
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen(8)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._closing = True
        self._parts.release(1000)
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)
        os.unlink(self.path)

    def next_part(self):
        """Lets the next part of a followed answer go."""
        self._parts.release()

    def _serve(self):
        while not self._closing:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection):
        try:
            with connection, connection.makefile("rwb") as stream:
                self._answer_on(stream)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the client has seen enough

    def _answer_on(self, stream):
        line = stream.readline()
        if not line:
            return
        request = json.loads(line)
        self.requests.append(request)

        def send(row):
            stream.write(json.dumps(without_none(row)).encode() + b"\n")
            stream.flush()

        if self.raw is not None:
            stream.write(self.raw)
            return
        error = self.errors.get(request["op"])
        if callable(error):
            error = error(request)
        if error:
            return send(error)
        rows = self.rows[request["op"]]
        if callable(rows):
            rows = rows(request)
        if request.get("follow"):
            for part in rows if rows and isinstance(rows[0], list) else [rows]:
                self._parts.acquire()
                if self._closing:
                    return
                for row in part:
                    send(row)
        else:
            for row in rows:
                send(row)
        send(self.partial.get(request["op"], {"done": True}))


if __name__ == "__main__":
    with ScriptedCollector(sys.argv[1]) as scripted:
        while True:
            scripted.next_part()
            time.sleep(1)
