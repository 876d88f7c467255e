"""When a simulated router's namespace is brought up to date: what changes it, and the pings of check-gateway. What is written
then is net.py's."""
import asyncio
import subprocess

from . import values
from .errors import Trap
from .net import PARTS, TOUCHES, Forwarding


class Gateways:
    """check-gateway: one ping an interval; so many misses in a row, and the routes through it are no more."""

    def __init__(self, forwarding, on_change):
        self.forwarding, self.on_change = forwarding, on_change
        self.misses = {}

    def settings(self):
        """(interval, time-out, attempts): fixed before 7.21."""
        tuned = self.forwarding.router.settings.get("/routing/settings", {})
        interval, timeout, count = (tuned.get(f"check-gateway-ping-{name}", fixed) for name, fixed in (
            ("interval", "10s"), ("timeout", "1s"), ("count", "2")))
        return values.seconds(interval), values.seconds(timeout), int(count)

    def checked(self):
        return sorted({item["gateway"] for item in self.forwarding.active("/ip/route") if item.get("check-gateway", "none") != "none"
                       and not self.forwarding.router.has_interface(item["gateway"])})

    async def ping(self, gateway, timeout_s):
        process = await asyncio.create_subprocess_exec(
            "ip", "netns", "exec", self.forwarding.netns, "ping", "-n", "-q", "-c", "1", "-W", str(timeout_s), gateway,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return await process.wait() == 0

    def judge(self, gateway, answered, attempts):
        self.misses[gateway] = 0 if answered else self.misses.get(gateway, 0) + 1
        alive = self.misses[gateway] < attempts
        if alive != self.forwarding.alive.get(gateway, True):
            self.forwarding.alive[gateway] = alive
            self.on_change()

    async def watch(self):
        while True:
            interval_s, timeout_s, attempts = self.settings()
            gateways = self.checked()
            started = asyncio.get_running_loop().time()
            for gateway, answered in zip(gateways, await asyncio.gather(*(self.ping(g, timeout_s) for g in gateways))):
                self.judge(gateway, answered, attempts)
            await asyncio.sleep(max(0, interval_s - (asyncio.get_running_loop().time() - started)))


class Kernel:
    """
    Keeps the namespace as the configuration says: before a command is answered, and when a port, a gateway or the end of an
    address-list entry changes it. A script of 500 lines is one change.
    """

    def __init__(self, router, netns):
        self.router = router
        self.forwarding = Forwarding(router, netns)
        self.gateways = Gateways(self.forwarding, lambda: self.touch(("routes",)))
        self.timer = self.expiry = None
        self.touched = set()  # parts that are not yet as the configuration says
        self.tasks = []

    def start(self):
        self.router.listeners.append(lambda path, item, is_gone: self.on_change(path, item, is_gone))
        self.router.forwarding, self.router.settle = self.forwarding, self.settle
        self.forwarding.sync()
        self.forwarding.on_link = self.router._tell
        self.tasks = [asyncio.ensure_future(self.gateways.watch()), asyncio.ensure_future(self.watch_links())]

    async def watch_links(self):
        """A port that loses its carrier is told at once, as RouterOS does."""
        process = await asyncio.create_subprocess_exec("ip", "-n", self.forwarding.netns, "monitor", "link",
                                                       stdout=subprocess.PIPE)
        try:
            while await process.stdout.readline():
                self.forwarding.read_links()
        finally:
            process.kill()

    def on_change(self, path, item, is_gone):
        if item is not None and not is_gone:
            self.forwarding.check(path, item)
        self.touch(TOUCHES.get(path, PARTS))

    def touch(self, parts):
        self.touched.update(parts)
        if self.timer is None:
            self.timer = asyncio.get_running_loop().call_soon(self.settle)

    def settle(self):
        """Packets go by the configuration as it is now when this returns."""
        if self.timer is None:
            return
        self.timer.cancel()
        self.timer = None
        parts, self.touched = self.touched, set()
        try:
            self.forwarding.sync(parts)
        except Trap:
            self.touched |= parts  # to be done yet
            raise
        if "firewall" in parts:
            self.plan_expiry()

    def plan_expiry(self):
        ends = [item.expires for item in self.router.items("/ip/firewall/address-list") if item.expires is not None]
        if self.expiry is not None:
            self.expiry.cancel()
            self.expiry = None
        if ends:
            self.expiry = asyncio.get_running_loop().call_later(max(0, min(ends) - self.router.clock()) + 0.001, self.touch,
                                                                ("firewall",))
