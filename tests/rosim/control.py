"""
What happens to a router without anybody configuring it: users come and go, neighbours die, links flap.

A test says so over a Unix socket (--control PATH): a line of JSON, answered by one: {"ok": true} or {"error": "..."}.

    {"do": "add", "menu": "/ppp/active", "values": {"name": "ana", "service": "pppoe"}}     something is there
    {"do": "set", "menu": "/routing/ospf/neighbor", "key": "10.0.0.2", "values": {"state": "Init"}, "silent": false}
    {"do": "remove", "menu": "/ppp/active", "keys": ["ana"]}                                without keys: all
    {"do": "modem", "name": "lte1", "values": {"rsrp": "-95"}}                              what /interface/lte/monitor tells
    {"do": "resource", "values": {"cpu-load": "93"}, "uptime": 86400}                       of /system/resource
    {"do": "pass", "seconds": 60}                                                           its clock goes on by so much, at once
    {"do": "reboot"}
    {"do": "drop"}                                                                          every session of the API ends

A key is an id or the value of any property. Only what a menu has can be said of it. Listeners are told, unless it is silent.
"""
import asyncio
import json
import os
import socket

from .errors import Trap


class Control:
    def __init__(self, router, end_sessions):
        self.router, self.end_sessions = router, end_sessions

    async def start(self, path):
        if os.path.exists(path):
            os.unlink(path)
        return await asyncio.start_unix_server(self.serve, path)

    async def serve(self, reader, writer):
        while line := await reader.readline():
            try:
                request = json.loads(line)
                getattr(self, "do_" + request.pop("do"))(**request)
                answer = {"ok": True}
            except (Trap, AttributeError, KeyError, TypeError, ValueError) as error:
                answer = {"error": f"{type(error).__name__}: {getattr(error, 'message', error)}"}
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        writer.close()

    def find(self, menu, key):
        """(the menu that owns it, the item)"""
        for owner, item in self.router.interfaces() if menu == "/interface" else [(menu, item) for item in self.router.items(menu)]:
            if key == item.id or key in item.values():
                return owner, item
        raise KeyError(f"{menu}: nothing is {key}")

    def check(self, menu, values):
        unknown = set(values) - set(self.router.menu(menu).properties)
        if unknown:
            raise KeyError(f"{menu} has no {min(unknown)}")

    def do_add(self, menu, values):
        self.check(menu, values)
        item = self.router._insert(menu, values, dynamic=self.router.menu(menu).kind == "view")
        item.born = self.router.clock()

    def do_set(self, menu, key, values, silent=False):
        self.check(menu, values)
        owner, item = self.find(menu, key)
        item.update(values)
        if not silent:
            self.router._tell(owner, item)

    def do_remove(self, menu, keys=None):
        items = list(self.router.items(menu)) if keys is None else [self.find(menu, key)[1] for key in keys]
        for item in items:
            self.router.config[menu].remove(item)
        for item in items:
            self.router._tell(menu, item, is_gone=True)

    def do_modem(self, name, values):
        self.find("/interface/lte", name)
        self.router.modems.setdefault(name, {}).update(values)

    def do_resource(self, values=(), uptime=None):
        self.router.reported.update(values)
        if uptime is not None:
            self.router.started = self.router.clock() - uptime

    def do_pass(self, seconds):
        clock = self.router.clock
        self.router.clock = lambda: clock() + seconds

    def do_reboot(self):
        self.router.boot()
        self.end_sessions()

    def do_drop(self):
        self.end_sessions()


def control(path, *requests):
    """For tests: says these, one after the other, and waits until they have happened."""
    with socket.socket(socket.AF_UNIX) as stream:
        stream.settimeout(20)
        stream.connect(str(path))
        with stream.makefile("rwb") as file:
            file.write(b"".join(json.dumps(request).encode() + b"\n" for request in requests))
            file.flush()
            for request in requests:
                answer = json.loads(file.readline())
                assert answer == {"ok": True}, (request, answer)
