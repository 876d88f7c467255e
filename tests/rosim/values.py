"""What a property's value must be, and how RouterOS writes it back. check(kind, text, router) returns the canonical text."""
import ipaddress
import re

from .errors import Trap

TIME_UNITS = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1, "ms": 0.001}
HASHES = [f"{where}-{what}" for where in ("src", "dst") for what in ("address", "port", "address-and-port")] + [
    "both-addresses", "both-ports", "both-addresses-and-ports"]


def seconds(text):
    """Of "1d2h", "00:10:00", "1w2d03:04:05", "10", "300ms", "none"."""
    if text in ("none", "none-dynamic", ""):
        return 0
    clock = re.fullmatch(r"(?:(\d+)w)?(?:(\d+)d)?(\d+):(\d\d):(\d\d(?:\.\d+)?)", text)
    if clock:
        weeks, days, hours, minutes, rest = (float(part or 0) for part in clock.groups())
        return ((weeks * 7 + days) * 24 + hours) * 3600 + minutes * 60 + rest
    if text.isdigit():
        return int(text)
    parts = re.findall(r"(\d+)(ms|[wdhms])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(text)
    return sum(int(number) * TIME_UNITS[unit] for number, unit in parts)


class Time:
    """Of a script. As text it is "00:01:30" or "1w2d03:04:05", not "1m30s" as print and the API have it."""

    def __init__(self, total_s):
        self.total_s = total_s

    def __str__(self):
        sign, rest = ("-", -self.total_s) if self.total_s < 0 else ("", self.total_s)
        weeks, rest = divmod(rest, TIME_UNITS["w"])
        days, rest = divmod(rest, TIME_UNITS["d"])
        minutes, rest = divmod(rest, 60)
        clock = f"{minutes // 60:02.0f}:{minutes % 60:02.0f}:" + (f"{rest:06.3f}" if rest % 1 else f"{rest:02.0f}")
        return sign + "".join(f"{count:.0f}{unit}" for count, unit in ((weeks, "w"), (days, "d")) if count) + clock


TIME_LITERAL = re.compile(r"(?=\d)(\d+w)?(\d+d)?(\d+h)?(\d+m)?(\d+s)?(\d+ms)?|(\d+w)?(\d+d)?\d+:\d\d:\d\d(\.\d+)?")


def time_text(total):
    """10 -> "10s", 90 -> "1m30s", 0.3 -> "300ms"."""
    if total and total < 1:
        return f"{round(total * 1000)}ms"
    total, text = round(total), ""
    for unit in "wdhms":
        count, total = divmod(total, TIME_UNITS[unit])
        text += f"{count}{unit}" if count else ""
    return text or "0s"


def _bool(text, _router):
    if text in ("yes", "true"):
        return "yes"
    if text in ("no", "false"):
        return "no"
    raise ValueError(text)


def _int(text, _router, of, name):
    number = int(text, 0)
    first, last = map(int, of.split("..")) if of else (0, 2 ** 32 - 1)
    if not first <= number <= last:
        raise Trap(f"value of {name} out of range ({first}..{last})")
    return str(number)


def _enumeration(text, _router, of, name):
    if text in of.split("|"):
        return text
    raise Trap(f"input does not match any value of {name}")


def _choice(text, _router, of, name):
    """Several, or all others."""
    if set(text.removeprefix("!").split(",")) <= set(of.split("|")):
        return text
    raise Trap(f"input does not match any value of {name}")


def _ports(text, _router):
    for part in text.removeprefix("!").split(","):
        first, _, last = part.partition("-")
        if not 0 <= int(first) <= int(last or first) <= 65535:
            raise ValueError(text)
    return text


def _table(text, router, _of, name):
    """With 7 a table is made before it is named."""
    if any(item["name"] == text for item in router.items("/routing/table")):
        return text
    raise Trap(f"input does not match any value of {name}")


def _address(text, _router):
    return str(ipaddress.ip_address(text))


def _prefix(text, _router):
    """The address of an interface keeps its host part; a bare address is a host."""
    return str(ipaddress.ip_interface(text))


def _addresses(text, router):
    """Of a matcher: !, an address, a network or a range."""
    sign, text = ("!", text[1:]) if text.startswith("!") else ("", text)
    if "-" in text:
        return sign + "-".join(_address(part, router) for part in text.split("-"))
    network = str(ipaddress.ip_interface(text))
    return sign + (network[:-3] if network.endswith("/32") else network)


def _time(text, _router):
    return text if text.startswith("none") else time_text(seconds(text))


def _pcc(text, _router):
    what, _, numbers = text.partition(":")
    matches = [name for name in HASHES if name == what or name.startswith(what)]
    denominator, _, remainder = numbers.partition("/")
    if not matches or int(remainder) >= int(denominator):
        raise ValueError(text)
    return f"{what if what in HASHES else matches[-1]}:{int(denominator)}/{int(remainder)}"


def _interface(text, router):
    sign, name = ("!", text[1:]) if text.startswith("!") else ("", text)
    if name == "all" or router.has_interface(name):
        return sign + name
    raise Trap("input does not match any value of interface")


def _bridge(text, router):
    if any(item["name"] == text for item in router.items("/interface/bridge")):
        return text
    raise Trap("input does not match any value of bridge")


def _interface_list(text, router, _of, name):
    known = text.removeprefix("!")
    if known in ("all", "none", "dynamic", "static") or any(i["name"] == known for i in router.items("/interface/list")):
        return text
    raise Trap(f"input does not match any value of {name}")


def _flag(text, _router):
    return "" if text in ("", "yes", "true") else text


LISTS = "add-dst-to-address-list add-src-to-address-list jump log passthrough return accept"
ACTIONS = {
    "filter-action": f"{LISTS} drop fasttrack-connection reject tarpit",
    "nat-action": f"{LISTS} dst-nat endpoint-independent-nat masquerade netmap redirect same src-nat",
    "mangle-action": f"{LISTS} change-dscp change-mss change-ttl clear-df fasttrack-connection mark-connection mark-packet "
                     "mark-routing route set-priority sniff-pc sniff-tzsp strip-ipv4-options",
    "raw-action": f"{LISTS} drop notrack",
    "rule-action": "drop lookup lookup-only-in-table unreachable",
}


def _action(kind):
    def check_action(text, _router):
        if text in ACTIONS[kind].split():
            return text
        raise Trap("input does not match any value of action")
    return check_action


CHECKS = {
    "text": lambda text, router: text, "secret": lambda text, router: text, "name": lambda text, router: text,
    "bool": _bool, "ports": _ports, "address": _address, "prefix": _prefix, "addresses": _addresses, "time": _time, "pcc": _pcc,
    "interface": _interface, "bridge": _bridge, "flag": _flag,
    **{kind: _action(kind) for kind in ACTIONS},
}

NAMED = {"int": _int, "enumeration": _enumeration, "choice": _choice, "table": _table, "interface-list": _interface_list}


def check(property_, text, router):
    try:
        if property_.kind in NAMED:
            return NAMED[property_.kind](text, router, property_.of, property_.name)
        return CHECKS[property_.kind](text, router)
    except ValueError:
        raise Trap(f"invalid value for argument {property_.name}") from None


def text_of(value):
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ";".join(text_of(part) for part in value)
    if isinstance(value, dict):
        return ";".join(f"{key}={text_of(part)}" for key, part in value.items())
    return str(value)
