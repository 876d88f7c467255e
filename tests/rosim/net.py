"""
The forwarding of a simulated router: its configuration made into a real network namespace.

    Router ──(changed)──▶ Kernel ──▶ Forwarding.sync() ──▶ addresses, routes, rules (ip), one nftables table (nft)
                 ▲          ▲
    connection menu ── conntrack   kernel.py: when, and the pings of check-gateway

The namespace has the links already, named as the router's ports were from the factory (ether1...); a test laid them. Each sync
makes the whole desired state and changes what differs. What cannot be translated is a Trap at the command that asks for it
(check()): a rule that is not carried out must not look as if it were.
"""
import ipaddress
import re
import subprocess

from .conntrack import Forgetter
from .errors import Trap

PARTS = ("interfaces", "addresses", "routes", "rules", "firewall")
TOUCHES = {  # menu -> what of the kernel it is; any other: all of it
    "/ip/address": ("addresses", "routes"), "/ip/route": ("routes",), "/routing/rule": ("rules",), "/ip/route/rule": ("rules",),
    "/routing/table": ("routes", "rules"), "/ip/firewall/mangle": ("rules", "firewall"), "/ip/firewall/nat": ("firewall",),
    "/ip/firewall/filter": ("firewall",), "/ip/firewall/address-list": ("firewall",), "/interface/list": (),
    "/interface/list/member": ("firewall",), "/log": (), "/file": ()}
# Rules of the kernel, by preference: 7 looks a mark up first, even before its own addresses; 6 behind the rules of people.
LOCAL, RULES_OF_PEOPLE, MARKS = 1000, 2000, {6: 20000, 7: 10}
TABLES_FROM = 1000  # routing tables by name: numbers of our own
MATCHED = {"chain", "action", "comment", "disabled", "log", "log-prefix", "passthrough", "place-before"}


def run(netns, *command, text=None, check=True):
    done = subprocess.run(["ip", "netns", "exec", netns, *command], input=text, text=True, capture_output=True, check=False)
    if check and done.returncode != 0:
        raise Trap(f"failure: {' '.join(command[:4])}: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else done.returncode}")
    return done.stdout


class Names:
    """Numbers for names: marks and tables. The kernel has no names."""

    def __init__(self, first):
        self.first, self.known = first, {}

    def number(self, name):
        return self.known.setdefault(name, self.first + len(self.known))

    def name(self, number):
        return next((name for name, known in self.known.items() if known == number), None)


class Forwarding:
    def __init__(self, router, netns):
        self.router, self.netns = router, netns
        self.connection_marks, self.routing_marks, self.tables = Names(1), Names(1), Names(TABLES_FROM)
        self.alive = {}  # gateway of a route with check-gateway -> does it answer
        self.state = {}  # what was written last, by kind
        self.links = {}  # of the namespace: name -> has carrier
        self.on_link = None  # called with (menu path, item) of an interface whose carrier changed
        self.bytes = {}  # name -> (received, sent)
        self.listed = {}  # connections, as listed last
        self.forgetter = Forgetter(netns)
        run(netns, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0")
        # What another one left here. The kernel says "nothing to do" when there was none.
        self.batch(["addr flush scope global", "route flush table all proto 250", "rule flush", f"rule add pref {LOCAL} lookup local",
                    "rule add pref 32766 lookup main", "rule add pref 32767 lookup default", "rule del pref 0"], "-4", "-force", check=False)

    # --- interfaces and addresses ---------------------------------------------------------------------

    def device(self, name):
        """The kernel's name of an interface: ports keep theirs when RouterOS renames them."""
        for _, item in self.router.interfaces():
            if item["name"] == name:
                return item.get("default-name", name)
        raise Trap("input does not match any value of interface")

    def has_link(self, device):
        return device in self.links

    def is_running(self, item):
        return self.links.get(item.get("default-name", item["name"]), False)

    def read_links(self):
        """Whoever reads, every change is told: who compares later would miss what was read in between."""
        before, self.links = self.links, {}
        for line in run(self.netns, "ip", "-o", "link", "show").splitlines():
            name, flags = re.match(r"\d+: ([^:@]+)[^<]*<([^>]*)>", line).groups()
            self.links[name] = "LOWER_UP" in flags.split(",")
        for path, item in self.router.interfaces():
            device = item.get("default-name", item["name"])
            if self.on_link and before.get(device) != self.links.get(device):
                self.on_link(path, item)

    def sync_interfaces(self):
        commands = []
        ports = {item["interface"]: item["bridge"] for item in self.active("/interface/bridge/port")}
        for path, item in self.router.interfaces():
            device = item.get("default-name", item["name"])
            if path == "/interface/bridge" and not self.has_link(device):
                commands.append(f"link add {device} type bridge")
                self.links[device] = True
            if not self.has_link(device):
                continue
            master = ports.get(item["name"])
            commands.append(f"link set {device} " + (f"master {self.device(master)}" if master else "nomaster"))
            commands.append(f"link set {device} {'down' if item.get('disabled') == 'yes' else 'up'}")
        if commands != self.state.get("links"):
            self.batch(commands)
            self.state["links"] = commands

    def sync_addresses(self):
        desired = {}
        for item in self.active("/ip/address"):
            device = self.device(item["interface"])
            if self.has_link(device):
                desired[device, item["address"]] = f"{item['address']} dev {device}"
        self.reconcile("addresses", desired, "addr")

    def active(self, path):
        return [item for item in self.router.items(path) if item.get("disabled") != "yes"] if path in self.router.menus else []

    def batch(self, commands, *options, check=True):
        if commands:
            run(self.netns, "ip", *options, "-batch", "-", text="\n".join(commands) + "\n", check=check)

    def reconcile(self, kind, desired, verb, has_replace=False):
        """desired: {key: words}. What is as it was is left alone; what is new comes before what is old goes: no packet is without."""
        old = self.state.get(kind, {})
        changed = [key for key in desired if old.get(key) != desired[key]]
        gone = [key for key in old if key not in desired or (key in changed and not has_replace)]
        self.batch([f"{verb} {'replace' if has_replace else 'add'} {desired[key]}" for key in changed])
        # The kernel may have taken away what hung on a link that went; the rest must go all the same.
        self.batch([f"{verb} del {old[key]}" for key in gone], "-force", check=False)
        self.state[kind] = desired

    # --- routes ---------------------------------------------------------------------------------------

    def connected(self):
        """(network, interface) of every address on a link that is up."""
        return [(ipaddress.ip_interface(item["address"]).network, item["interface"]) for item in self.active("/ip/address")
                if self.links.get(self.device(item["interface"]))]

    def table_of(self, item):
        return item.get("routing-mark") or item.get("routing-table") or "main"

    def resolve(self, item, candidates):
        """(next hop or None, interface) of a route, or None: its gateway cannot be reached."""
        gateway, _, through = item["gateway"].partition("%")
        if self.router.has_interface(gateway):
            return (None, gateway) if self.links.get(self.device(gateway)) else None
        address = ipaddress.ip_address(gateway)
        for network, interface in self.connected():
            if address in network and through in ("", interface):
                return gateway, interface
        # Recursive: by the longest active route of a scope that this one may lean on.
        below = [other for other in candidates if other is not item and self.table_of(other) == "main"
                 and int(other["scope"]) <= int(item["target-scope"])
                 and address in ipaddress.ip_network(other["dst-address"]) and other.get("check-gateway", "none") == "none"]
        for other in sorted(below, key=lambda o: -ipaddress.ip_network(o["dst-address"]).prefixlen):
            found = self.resolve(other, [o for o in candidates if o is not item])
            if found:
                return found
        return None

    def choose(self):
        """{(table, destination): (gateway, interface)} and the items that are active: the lowest distance that works."""
        candidates = self.active("/ip/route")
        chosen, best = {}, {}
        for item in candidates:
            hop = self.resolve(item, candidates)
            if hop is None or (item.get("check-gateway", "none") != "none" and not self.alive.get(item["gateway"], True)):
                continue
            key = (self.table_of(item), item["dst-address"])
            if key not in best or int(item["distance"]) < int(best[key]["distance"]):
                best[key], chosen[key] = item, hop
        for item in candidates:
            item["active"] = "true" if any(item is other for other in best.values()) else "false"
        return chosen

    def sync_routes(self):
        """The kernel is told the hop that was found: recursion, distance and liveness are decided here, as RouterOS does."""
        desired = {}
        for (table, destination), (gateway, interface) in self.choose().items():
            via = f"via {gateway} " if gateway else ""
            desired[table, destination] = (f"{destination} {via}dev {self.device(interface)} "
                                           f"table {self.number_of_table(table)} proto 250")
        self.reconcile("routes", desired, "route", has_replace=True)

    def number_of_table(self, table):
        return "main" if table == "main" else self.tables.number(table)

    def sync_rules(self):
        desired = {}
        rules = self.active("/routing/rule" if self.router.version[0] == 7 else "/ip/route/rule")
        for preference, item in enumerate(rules, RULES_OF_PEOPLE // 2):
            words = "".join(f" {key} {item[name]}" for key, name in (("from", "src-address"), ("to", "dst-address")) if item.get(name))
            if item.get("routing-mark"):
                words += f" fwmark {self.routing_marks.number(item['routing-mark'])}"
            looks_up = item["action"].startswith("lookup")
            target = f"lookup {self.number_of_table(item.get('table', 'main'))}" if looks_up else item["action"]
            desired[2 * preference] = f"pref {2 * preference}{words} {target}"
            if item["action"] == "lookup-only-in-table":
                desired[2 * preference + 1] = f"pref {2 * preference + 1}{words} unreachable"
        marks = {item["new-routing-mark"] for item in self.active("/ip/firewall/mangle") if "new-routing-mark" in item}
        for mark in sorted(marks):
            number = self.routing_marks.number(mark)
            preference = MARKS[self.router.version[0]] + number
            desired[preference] = f"pref {preference} fwmark {number} lookup {self.number_of_table(mark)}"
        self.reconcile("rules", desired, "rule")

    # --- firewall -------------------------------------------------------------------------------------

    def expression(self, item, own):
        """nftables' words for the matchers of a rule. own: properties that belong to the action."""
        words = []
        for name in item:
            if name in MATCHED or name in own or item[name] == "" or self.router.menus["/ip/firewall/mangle"].properties.get(
                    name, self.router.menus["/ip/firewall/nat"].properties.get(name)) is None:
                continue
            if name in ("bytes", "packets", "dynamic", "invalid"):
                continue
            value, sign = item[name], "== "
            if value.startswith("!"):
                value, sign = value[1:], "!= "
            words.append(self.matcher(item, name, value, sign))
        return " ".join(words)

    def matcher(self, item, name, value, sign):
        if name == "per-connection-classifier":
            what, _, numbers = value.partition(":")
            denominator, _, remainder = numbers.partition("/")
            fields = {"both-addresses": "ip saddr . ip daddr", "src-address": "ip saddr", "dst-address": "ip daddr",
                      "both-addresses-and-ports": "ip saddr . ip daddr . th sport . th dport", "src-port": "th sport",
                      "dst-port": "th dport", "both-ports": "th sport . th dport", "src-address-and-port": "ip saddr . th sport",
                      "dst-address-and-port": "ip daddr . th dport"}
            return f"jhash {fields[what]} mod {denominator} seed 0x5a5a {remainder}"
        if name in ("src-address", "dst-address"):
            return f"ip {name[0]}addr {sign}{value}"
        if name in ("src-address-list", "dst-address-list"):
            return f"ip {name[0]}addr {sign}@{set_name(value)}"
        if name in ("in-interface", "out-interface"):
            return f"{'iifname' if name[0] == 'i' else 'oifname'} {sign}\"{self.device(value)}\""
        if name in ("in-interface-list", "out-interface-list"):
            members = [self.device(m["interface"]) for m in self.active("/interface/list/member") if m["list"] == value]
            listed = ", ".join(f'"{member}"' for member in members) or '"none-at-all"'
            return f"{'iifname' if name[0] == 'i' else 'oifname'} {sign}{{ {listed} }}"
        if name == "connection-mark":
            return f"ct mark {sign}{0 if value == 'no-mark' else self.connection_marks.number(value)}"
        if name == "routing-mark":
            return f"meta mark {sign}{self.routing_marks.number(value)}"
        if name == "connection-state":
            return f"ct state {sign}{{ {value} }}"
        if name in ("dst-address-type", "src-address-type"):
            return f"fib {name[0]}addr type {sign}{value}"
        if name == "protocol":
            return f"meta l4proto {sign}{value}"
        if name in ("src-port", "dst-port"):
            return f"th {name[0]}port {sign}{{ {value} }}"
        if name == "ipsec-policy":
            direction, _, policy = value.partition(",")
            return f"{'rt ipsec' if direction == 'out' else 'meta secpath'} {'exists' if policy == 'ipsec' else 'missing'}"
        if name == "connection-nat-state":
            return f"ct status {'dnat' if value == 'dstnat' else 'snat'}"
        raise Trap(f"failure: the simulated router forwards no packets by {name}")

    def mangle_action(self, item):
        end = "" if item.get("passthrough") != "no" else " accept"
        action = item["action"]
        if action == "mark-connection":
            return f"ct mark set {self.connection_marks.number(item['new-connection-mark'])}{end}", {"new-connection-mark"}
        if action == "mark-routing":
            return f"meta mark set {self.routing_marks.number(item['new-routing-mark'])}{end}", {"new-routing-mark"}
        if action == "jump":
            return f"jump mangle_{chain_name(item['jump-target'])}", {"jump-target"}
        if action in ("accept", "passthrough", "drop", "return"):
            return {"passthrough": "continue"}.get(action, action), set()
        if action == "change-mss":
            return "tcp flags syn tcp option maxseg size set rt mtu", {"new-mss", "tcp-flags", "tcp-mss"}
        raise Trap(f"failure: the simulated router has no mangle action {action}")

    def nat_action(self, item):
        action = item["action"]
        if action == "masquerade":
            return "masquerade", set()
        if action in ("src-nat", "dst-nat"):
            target = item.get("to-addresses", "") + (":" + item["to-ports"] if item.get("to-ports") else "")
            return f"{action[0]}nat to {target}", {"to-addresses", "to-ports"}
        if action in ("accept", "return"):
            return action, set()
        raise Trap(f"failure: the simulated router has no nat action {action}")

    def filter_action(self, item):
        action = item["action"]
        if action in ("accept", "fasttrack-connection"):
            return "accept", set()
        if action in ("drop", "return"):
            return action, set()
        if action == "reject":
            return "reject", {"reject-with"}
        raise Trap(f"failure: the simulated router has no filter action {action}")

    CHAINS = {
        ("mangle", "prerouting"): "type filter hook prerouting priority mangle", ("mangle", "forward"): "type filter hook forward priority mangle",
        ("mangle", "output"): "type route hook output priority mangle", ("mangle", "input"): "type filter hook input priority mangle",
        ("mangle", "postrouting"): "type filter hook postrouting priority mangle", ("nat", "srcnat"): "type nat hook postrouting priority srcnat",
        ("nat", "dstnat"): "type nat hook prerouting priority dstnat", ("filter", "forward"): "type filter hook forward priority filter",
        ("filter", "input"): "type filter hook input priority filter", ("filter", "output"): "type filter hook output priority filter",
    }

    def ruleset(self):
        lines = ["add table ip rosim", "delete table ip rosim", "table ip rosim {"]
        lists = {item["list"] for item in self.router.items("/ip/firewall/address-list")}
        for kind in ("mangle", "nat", "filter"):
            lists |= {item[name].lstrip("!") for item in self.active(f"/ip/firewall/{kind}")
                      for name in ("src-address-list", "dst-address-list") if item.get(name)}
        for name in sorted(lists):
            elements = [entry["address"] for entry in self.active("/ip/firewall/address-list") if entry["list"] == name]
            lines.append(f"set {set_name(name)} {{ type ipv4_addr; flags interval; auto-merge;"
                         + (f" elements = {{ {', '.join(elements)} }};" if elements else "") + " }")
        for kind, action in (("mangle", self.mangle_action), ("nat", self.nat_action), ("filter", self.filter_action)):
            items = self.active(f"/ip/firewall/{kind}")
            for chain in sorted({item[name] for item in items for name in ("chain", "jump-target") if name in item}):
                hook = self.CHAINS.get((kind, chain))
                lines.append(f"chain {kind}_{chain_name(chain)} {{" + (f" {hook}; policy accept;" if hook else ""))
                for item in items:
                    if item["chain"] == chain:
                        verdict, own = action(item)
                        lines.append(f"  {self.expression(item, own)} counter {verdict}")
                lines.append("}")
        return "\n".join(lines + ["}"]) + "\n"

    def sync_firewall(self):
        ruleset = self.ruleset()
        if ruleset != self.state.get("firewall"):
            run(self.netns, "nft", "-f", "-", text=ruleset)
            self.state["firewall"] = ruleset

    def check(self, path, item):
        """Raises the Trap of a rule that could not be carried out."""
        kind = path.rsplit("/", 1)[1]
        action = {"mangle": self.mangle_action, "nat": self.nat_action, "filter": self.filter_action}.get(kind)
        if path.startswith("/ip/firewall/") and action and item.get("disabled") != "yes":
            if kind != "mangle" and (kind, item["chain"]) not in self.CHAINS:
                raise Trap(f"failure: the simulated router has no {kind} chain {item['chain']}")
            self.expression(item, action(item)[1])

    def sync(self, parts=PARTS):
        if "interfaces" in parts:
            self.read_links()
            self.sync_interfaces()
            self.read_links()
        for part in PARTS[1:]:
            if part in parts:
                getattr(self, f"sync_{part}")()

    # --- connections --------------------------------------------------------------------------------------

    def tuples(self):
        """{item id: (protocol, source, destination, ports, mark, has it been answered, state of TCP)} of what the kernel tracks."""
        self.router.settle()  # what begins anew must find the rules as they are
        found = self.listed = {}
        for line in run(self.netns, "conntrack", "-L", "-o", "id").splitlines():
            match = re.match(r"(\w+)\s+\d+\s+\d+ (?:([A-Z]\w+) )?src=(\S+) dst=(\S+)(?: sport=(\d+) dport=(\d+))?.*?mark=(\d+).*?id=(\d+)", line)
            if match:
                protocol, state, source, target, sport, dport, mark, identity = match.groups()
                found[f"*{int(identity):X}"] = (protocol, source, target, sport, dport, int(mark), "[UNREPLIED]" not in line,
                                                (state or "").lower().replace("_", "-"))
        return found

    def connections(self):
        rows = []
        for identity, (protocol, source, target, sport, dport, mark, is_answered, state) in self.tuples().items():
            rows.append({".id": identity, "protocol": protocol, "src-address": with_port(source, sport),
                         "dst-address": with_port(target, dport), "seen-reply": "true" if is_answered else "false"})
            if state:
                rows[-1]["tcp-state"] = state
            if mark:
                rows[-1]["connection-mark"] = self.connection_marks.name(mark)
        return rows

    def counters(self, item):
        """(received, sent) bytes of an interface."""
        return self.bytes.get(item.get("default-name", item["name"]), (0, 0))

    def read_counters(self):
        self.bytes = {name: (int(received), int(sent)) for name, received, sent in re.findall(
            r"^\s*([^\s:]+):\s*(\d+)(?:\s+\d+){7}\s+(\d+)", run(self.netns, "cat", "/proc/net/dev"), re.M)}

    def forget_connection(self, identity):
        """A list read just before will do: a script forgets one after the other."""
        known = self.listed if identity in self.listed else self.tuples()
        if identity not in known:
            raise Trap("no such item")
        protocol, source, target, sport, dport = known[identity][:5]
        if not self.forgetter.knows(protocol):
            run(self.netns, "conntrack", "-D", "-p", protocol, "-s", source, "-d", target)
        elif self.forgetter.forget(protocol, source, target, sport, dport) != 0:
            raise Trap("no such item")


def with_port(address, port):
    return f"{address}:{port}" if port else address


def chain_name(name):
    return re.sub(r"\W", lambda match: f"_{ord(match.group()):02x}", name)


def set_name(name):
    return "list_" + re.sub(r"\W", lambda match: f"_{ord(match.group()):02x}", name)
