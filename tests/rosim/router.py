"""
A simulated RouterOS router: its configuration, and the commands on it.

    API, SSH, scripts ──▶ Router.run(path, verb, arguments) ──▶ rows and values, or Trap
                              │ every change: one entry in `changes`, told to those who listen and to the forwarding

What it does not know it refuses in RouterOS's words; nothing is taken silently. The configuration is one dict of menus, so a
save point (safe mode, backup) is a copy of it.
"""
import copy
import time

from . import rules, schema, values
from .errors import Trap
from .values import text_of

POLICIES = "local telnet ssh ftp reboot read write policy test winbox password web sniff sensitive api romon".split()
GROUPS = {"read": ("ftp", "write", "policy"), "write": ("ftp", "policy"), "full": ()}  # what they do not have from the factory
BOARDS = {6: "RB951Ui-2nD", 7: "CHR"}


class Item(dict):
    """An item of a menu: its properties as RouterOS writes them. Dynamic ones are in no export, and gone at a reboot."""

    def __init__(self, number, properties, dynamic=False, expires=None):
        super().__init__(properties)
        self.number = number
        self.dynamic = dynamic
        self.expires = expires
        self.born = None  # by the router's clock: of what has an uptime

    @property
    def id(self):
        return f"*{self.number:X}"


class Router:
    def __init__(self, personality, ethernets=5, clock=time.monotonic):
        self.version = schema.PERSONALITIES[personality]
        self.personality = personality
        self.menus = schema.menus(self.version)
        self.clock = clock
        self.started = clock()
        self.reported = {}  # of /system/resource, other than usual
        self.modems = {}  # name: what it tells when it is asked
        self.files = {}
        self.numbers = {}
        self.has_flash = False  # a directory flash/, and memory outside of it
        self.globals = {}  # variables of scripts, of one user
        self.jobs = {}  # id -> script.Job, those that run
        self.listeners = []  # called with (path, item, is_gone)
        self.forwarding = None  # net.py, when packets go through this router
        self.settle = lambda: None  # so that packets go by the configuration as it is
        self.config_writes = 0  # what a real router would write to its flash
        self.max_connections = 1048576  # on a real one its memory decides
        self.device_mode = {"mode": "advanced", "scheduler": "yes", "fetch": "yes", "container": "no"}
        self.next_number = 1
        self.config = {path: [] for path in self.menus}
        self.settings = {path: self._defaults(menu) for path, menu in self.menus.items() if menu.kind == "settings"}
        for index in range(1, ethernets + 1):
            self._make_ethernet(f"ether{index}", f"02:00:00:00:00:{index:02X}")
        for name, port in (("telnet", 23), ("ftp", 21), ("www", 80), ("ssh", 22), ("www-ssl", 443), ("api", 8728),
                           ("winbox", 8291), ("api-ssl", 8729)):
            self._insert("/ip/service", {"name": name, "port": str(port), "disabled": "no"})
        for name, without in GROUPS.items():
            self._insert("/user/group", {"name": name, "policy": ",".join(("!" if policy in without else "") + policy for policy in POLICIES)})
        self._insert("/user", {"name": "admin", "group": "full", "password": ""})
        self._insert("/ppp/profile", {"name": "default"})
        self._insert("/ppp/profile", {"name": "default-encryption", "use-encryption": "yes"})
        if "/routing/table" in self.menus:
            self._insert("/routing/table", {"name": "main", "fib": ""}, dynamic=True)
        self.factory = copy.deepcopy((self.config, self.settings))
        self.config_writes = 0

    # --- what is there ------------------------------------------------------------------------------

    def _defaults(self, menu):
        return {p.name: p.default for p in menu.properties.values() if p.default is not None and not p.readonly}

    def _make_ethernet(self, name, mac):
        self._insert("/interface/ethernet", {"name": name, "default-name": name, "mac-address": mac, "disabled": "no"})

    def menu(self, path):
        try:
            return self.menus[path]
        except KeyError:
            raise Trap("no such command prefix") from None

    def items(self, path):
        """Those that are there now: what has expired is taken away first."""
        found = self.config.get(path, [])
        now = self.clock()
        for item in [item for item in found if item.expires is not None and item.expires <= now]:
            found.remove(item)
            self._tell(path, item, is_gone=True)
        return found

    INTERFACE_MENUS = ("ethernet", "bridge", "vlan", "veth", "pppoe-client", "l2tp-client", "lte", "wireless")

    def interfaces(self):
        """(menu path, item) of every interface."""
        return [(path, item) for kind in self.INTERFACE_MENUS for path in [f"/interface/{kind}"] if path in self.menus
                for item in self.items(path)]

    def has_interface(self, name):
        return any(item["name"] == name for _, item in self.interfaces())

    def show(self, path, item):
        """All that print shows of an item, .id first."""
        row = {".id": item.id}
        for property_ in self.menu(path).properties.values():
            value = self.dynamic_value(path, item, property_.name) if property_.readonly else item.get(property_.name)
            if value is not None and (value != "" or property_.default is None):
                row[property_.name] = value
        return row

    def dynamic_value(self, path, item, name):
        if name == "dynamic":
            return "true" if item.dynamic else "false"
        if name in item:  # what control.py said
            return item[name]
        if name in ("uptime", "adjacency") and item.born is not None:
            return values.time_text(self.clock() - item.born)
        if name == "running":
            is_up = item.get("disabled") != "yes" and (self.forwarding is None or self.forwarding.is_running(item))
            return "true" if is_up else "false"
        if name == "default-name":
            return item.get("default-name")
        if name == "invalid":
            return "false"
        if name == "static":
            return None if item.dynamic else "true"
        if name == "hw-offload":
            return "true" if item["hw"] == "yes" and self.can_offload(item) else "false"
        if name in ("bytes", "packets", "run-count", "rx-byte", "tx-byte", "rx-packet", "tx-packet", "link-downs"):
            return item.get(name, "0")
        return item.get(name)

    def rows(self, path):
        if path == "/interface":
            if self.forwarding:
                self.forwarding.read_counters()
            return [self.interface_row(owner, item) for owner, item in self.interfaces()]
        if path == "/file":
            flash = [{".id": "*F1A54", "name": "flash", "type": "disk"}] if self.has_flash else []
            return flash + [{".id": f"*{number:X}", "name": name, "type": file_type(name), "size": str(len(data)),
                     "creation-time": self.long_ago, **({"contents": data.decode("utf-8", "replace")}
                     if len(data) <= self.contents_limit else {})}
                    for name, data in sorted(self.files.items()) for number in [self.number_of(path, name)]]
        if path == "/system/resource":
            return [self.resource()]
        if path == "/system/device-mode":
            return [{name: as_api(None, name, value) for name, value in self.device_mode.items()}]
        if path == "/ip/firewall/connection/tracking":
            return [{**self.settings[path], "total-entries": str(len(self.rows("/ip/firewall/connection"))),
                     "max-entries": str(self.max_connections)}]
        if path == "/system/script/environment":
            return [{".id": f"*{number:X}", "name": name, "user": "admin", "value": text_of(value)}
                    for name, value in sorted(self.globals.items()) for number in [self.number_of(path, name)]]
        if path == "/system/script/job":
            return [{".id": id_, "owner": "admin", "script": "", "type": "command", "started": self.long_ago} for id_ in self.jobs]
        if path == "/system/routerboard":
            return [{"routerboard": "true", "model": BOARDS[6]} if self.version[0] == 6 else {"routerboard": "false"}]
        if path == "/ip/firewall/connection" and self.forwarding:
            return self.forwarding.connections()
        menu = self.menu(path)
        if menu.is_single:
            return [{name: as_api(menu, name, value) for name, value in self.settings[path].items()}]
        return [{name: as_api(menu, name, value) for name, value in self.show(path, item).items()} for item in self.items(path)]

    def interface_row(self, owner, item):
        """A port of the board, which cannot be dynamic, says nothing about it."""
        row = {".id": item.id, "name": item["name"], "type": interface_type(owner), "mtu": item.get("mtu", "1500"),
               "actual-mtu": self.actual_mtu(owner, item), **self.counters(item), "link-downs": item.get("link-downs", "0"),
               "running": self.dynamic_value(owner, item, "running"), "disabled": "true" if item.get("disabled") == "yes" else "false"}
        if self.menus[owner].kind != "fixed":
            row["dynamic"] = "true" if item.dynamic else "false"
        if item.get("comment"):
            row["comment"] = item["comment"]
        return row

    def actual_mtu(self, owner, item):
        mtu = item.get("max-mtu", item.get("mtu", "auto"))
        return mtu if mtu.isdigit() else "1480" if owner == "/interface/pppoe-client" else "1500"

    def can_offload(self, port):
        """A port of the board's switch chip, which knows no VLANs; a PC has none."""
        bridge = next(item for item in self.items("/interface/bridge") if item["name"] == port["bridge"])
        return self.version[0] == 6 and bridge["vlan-filtering"] != "yes" and self.find_interface_menu(port) == "/interface/ethernet"

    def find_interface_menu(self, port):
        return next((owner for owner, item in self.interfaces() if item["name"] == port["interface"]), None)

    def counters(self, item):
        received, sent = self.forwarding.counters(item) if self.forwarding else (0, 0)
        return {"rx-byte": item.get("rx-byte", str(received)), "tx-byte": item.get("tx-byte", str(sent))}

    @property
    def contents_limit(self):
        return 4095 if self.version[0] == 6 else 60 * 1024

    def resource(self):
        return {"uptime": values.time_text(self.clock() - self.started), "version": self.version_text + " (stable)",
                "free-memory": "33554432", "total-memory": "67108864", "cpu-count": "1", "cpu-load": "3",
                "free-hdd-space": str(self.FLASH_BYTES - sum(map(len, self.files.values()))), "total-hdd-space": "16777216",
                "architecture-name": "mipsbe" if self.version[0] == 6 else "x86_64", "board-name": BOARDS[self.version[0]],
                "platform": "MikroTik", "write-sect-since-reboot": str(self.config_writes), **self.reported}

    @property
    def long_ago(self):
        """A date, as this version writes it."""
        return "jan/02/1970 00:00:00" if self.version < (7, 10) else "1970-01-02 00:00:00"

    @property
    def version_text(self):
        return ".".join(str(part) for part in self.version)

    # --- changes ------------------------------------------------------------------------------------

    def _tell(self, path, item, is_gone=False):
        for listener in list(self.listeners):
            listener(path, item, is_gone)
            if item is not None and path.rsplit("/", 1)[1] in self.INTERFACE_MENUS and path.startswith("/interface/"):
                listener("/interface", item, is_gone)

    def _insert(self, path, properties, dynamic=False, expires=None, before=None):
        item = Item(self.next_number, {**self._defaults(self.menus[path]), **properties}, dynamic, expires)
        self.next_number += 1
        found = self.config[path]
        found.insert(len(found) if before is None else found.index(before), item)
        try:
            self._changed(path, item)
        except Trap:
            found.remove(item)
            raise
        return item

    def _changed(self, path, item, is_gone=False):
        if item is None or not item.dynamic:
            self.config_writes += 1
        self._tell(path, item, is_gone)

    def find(self, path, key):
        """An item by its id, its name, or its number in print (terminals only)."""
        for item in self.items(path):
            if key in (item.id, item.get("name")):
                return item
        raise Trap("no such item")

    def number_of(self, path, name):
        """Of what has a name before it has an id: files, variables."""
        if (path, name) not in self.numbers:
            self.numbers[path, name] = self.next_number
            self.next_number += 1
        return self.numbers[path, name]

    def new_id(self):
        self.next_number += 1
        return f"*{self.next_number - 1:X}"

    def _check(self, path, arguments):
        menu, checked = self.menu(path), {}
        for name, text in arguments.items():
            property_ = menu.properties.get(name)
            if property_ is None or property_.readonly:
                raise Trap("unknown parameter")
            checked[name] = text if text == "" and property_.kind != "flag" else values.check(property_, text, self)
        return checked

    def _check_unique(self, path, properties, own=None):
        def others(menu_path):
            return (item for item in self.items(menu_path) if item is not own)
        name = properties.get("name")
        if path.startswith("/interface/") and path not in ("/interface/list",) and name is not None:
            if any(item["name"] == name for _, item in self.interfaces() if item is not own):
                raise Trap("failure: already have interface with such name")
        elif name is not None and "name" in self.menu(path).properties:
            if any(item.get("name") == name for item in others(path)):
                raise Trap("failure: already have such name" if self.version[0] == 6 else "failure: entry already exists")
        if path == "/ip/address" and "address" in properties:
            if any(item["address"] == properties["address"] and item["interface"] == properties.get("interface")
                   for item in others(path)):
                raise Trap("failure: already have such address")
        if path == "/interface/bridge/port" and any(item["interface"] == properties.get("interface") for item in others(path)):
            raise Trap("failure: device already added as bridge port")
        if path == "/ip/firewall/address-list" and any(
                (item["list"], item["address"]) == (properties.get("list"), properties.get("address")) for item in others(path)):
            raise Trap("failure: already have such entry")

    def add(self, path, arguments):
        menu = self.menu(path)
        if not menu.can_add:
            raise Trap("no such command")
        if path == "/system/scheduler" and self.version >= (7, 17) and self.device_mode["scheduler"] == "no":
            raise Trap("failure: not allowed by device-mode")
        arguments = dict(arguments)
        before = arguments.pop("place-before", None)
        missing = [p.name for p in menu.properties.values() if p.required and p.name not in arguments]
        properties = self._check(path, arguments)
        if missing:
            raise Trap(f"missing value(s) of argument(s) {' '.join(missing)}")
        self._check_unique(path, properties)
        rules.check(path, properties)
        if path == "/ip/address":
            properties.setdefault("network", network_of(properties["address"]))
        timeout = properties.get("timeout") if path == "/ip/firewall/address-list" else None
        expires = None
        if timeout is not None:
            properties["creation-time"] = self.long_ago
            if not timeout.startswith("none"):
                expires = self.clock() + values.seconds(timeout)
        return self._insert(path, properties, timeout is not None and timeout != "none-static", expires,
                            self.place(path, before))

    def place(self, path, key):
        """Where something is to stand: not before what RouterOS has there itself."""
        item = self.find(path, key) if key else None
        if item is not None and item.get("default") == "true":
            raise Trap("failure: can not place before default item")
        return item

    def set(self, path, keys, arguments):
        menu = self.menu(path)
        if menu.is_single:
            if menu.kind == "status":
                raise Trap("no such command")
            self.settings[path].update(self._check(path, arguments))
            self._changed(path, None)
            return
        items = [self.find(path, key) for key in keys]
        if path != "/ip/firewall/address-list" and any(item.dynamic for item in items):
            raise Trap("failure: can not change dynamic")
        for item in items:
            checked = self._check(path, arguments)
            self._check_unique(path, {**item, **checked} if "name" in checked or "address" in checked else {}, item)
            rules.check(path, {**item, **checked})
            old_name = item.get("name")
            item.update(checked)
            for name, value in checked.items():  # a matcher that is set to nothing is gone
                if value == "" and menu.properties[name].default is None and menu.properties[name].kind != "flag":
                    del item[name]
            if path == "/ip/firewall/address-list" and item.dynamic and "timeout" in checked:
                item.expires = self.clock() + values.seconds(checked["timeout"])
            if path == "/ip/address" and "address" in checked and "network" not in checked:
                item["network"] = network_of(item["address"])
            if path.startswith("/interface/") and checked.get("name", old_name) != old_name:
                self._rename(old_name, checked["name"])
            self._changed(path, item)

    def _rename(self, old, new):
        """RouterOS refers to interfaces by identity: a new name shows everywhere."""
        for path, menu in self.menus.items():
            kinds = [p.name for p in menu.properties.values() if p.kind in ("interface", "bridge")]
            for item in self.config[path]:
                for name in kinds:
                    if item.get(name) == old:
                        item[name] = new

    def remove(self, path, keys):
        if not self.menu(path).can_add and self.menu(path).kind != "view":
            raise Trap("no such command")
        if path == "/file":
            names = {row[".id"]: row["name"] for row in self.rows("/file")}
            for key in keys:
                if self.files.pop(names.get(key, key), None) is None:
                    raise Trap("no such item")
            return
        if path == "/system/script/environment":
            names = {row[".id"]: row["name"] for row in self.rows(path)}
            for key in keys:
                if self.globals.pop(names.get(key, key), self) is self:
                    raise Trap("no such item")
            return
        if path == "/system/script/job":
            for key in keys:
                if key not in self.jobs:
                    raise Trap("no such item")
                self.jobs[key].stop()
            return
        if path == "/ip/firewall/connection" and self.forwarding:
            for key in keys:
                self.forwarding.forget_connection(key)
            return
        for item in [self.find(path, key) for key in keys]:
            self.config[path].remove(item)
            self._changed(path, item, is_gone=True)

    def move(self, path, key, before):
        if self.menu(path).kind != "ordered":
            raise Trap("no such command")
        item, found = self.find(path, key), self.config[path]
        target = self.place(path, before)
        if item is not target:
            found.remove(item)
            found.insert(found.index(target) if target is not None else len(found), item)
        self._changed(path, item)

    FLASH_BYTES = 8 * 1024 * 1024

    def write_file(self, name, data):
        if sum(len(other) for key, other in self.files.items() if key != name) + len(data) > self.FLASH_BYTES:
            raise Trap("failure: not enough space left on device")
        self.files[name] = data

    def log(self, topics, message):
        self._insert("/log", {"time": self.long_ago, "topics": topics, "message": message}, dynamic=True)
        del self.config["/log"][:-1000]

    # --- whole states -------------------------------------------------------------------------------

    def hold_connections(self, count):
        """Entries of the connection table that nobody answered, as a scan leaves them."""
        for number in range(count):
            self._insert("/ip/firewall/connection", {"protocol": "udp", "src-address": f"192.0.2.1:{1024 + number}",
                                                     "dst-address": "198.51.100.1:53", "seen-reply": "false"}, dynamic=True)

    def policies_of(self, user):
        group = next((item.get("group") for item in self.items("/user") if item["name"] == user), None)
        return {policy for item in self.items("/user/group") if item["name"] == group for policy in item["policy"].split(",")}

    def update_device_mode(self, arguments):
        """Confirmed at once: there is no button."""
        if "mode" in arguments:
            is_home = arguments["mode"] == "home"
            self.device_mode.update(mode=arguments["mode"], scheduler="no" if is_home else "yes", fetch="no" if is_home else "yes",
                                    container="no")
        self.device_mode.update({name: values.CHECKS["bool"](value, self) for name, value in arguments.items() if name != "mode"})

    def save(self):
        """What a save point holds: all that is not dynamic."""
        return copy.deepcopy(({path: [i for i in items if not i.dynamic] for path, items in self.config.items()}, self.settings))

    def restore(self, state):
        self.config, self.settings = copy.deepcopy(state)
        self._changed("/", None)

    def end_jobs(self):
        """A reboot: nothing that was only in memory is left."""
        for job in self.jobs.values():
            job.stop()
        self.globals.clear()

    def boot(self):
        """What is dynamic is gone, and time begins again."""
        if self.has_flash:
            self.files = {name: data for name, data in self.files.items() if name.startswith("flash/")}
        self.restore(self.save())
        self.started = self.clock()


def interface_type(menu):
    kind = menu.rsplit("/", 1)[1]
    return {"ethernet": "ether", "wireless": "wlan", "pppoe-client": "pppoe-out", "l2tp-client": "l2tp-out"}.get(kind, kind)


def network_of(prefix):
    import ipaddress
    return str(ipaddress.ip_interface(prefix).network.network_address)


def file_type(name):
    return {"rsc": "script", "backup": "backup", "txt": ".txt file"}.get(name.rsplit(".", 1)[-1], "file")


def as_api(menu, name, value):
    """The API says true and false where a terminal says yes and no."""
    property_ = menu.properties.get(name) if menu else None
    if menu is None or (property_ is not None and property_.kind == "bool"):
        return {"yes": "true", "no": "false"}.get(value, value)
    return value
