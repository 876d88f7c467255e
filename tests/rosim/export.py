"""/export: the configuration as RouterOS writes it: sections sorted by menu, defaults left out, lines folded."""
import re

WIDTH = 78  # RouterOS folds at about this; the rest of the line follows behind four blanks
PLAIN = re.compile(r"[\w./:@,*+%!-]+")  # what needs no quotes

# In the order of a real export: what others refer to comes first; the rest by name.
FIRST = ["/interface/bridge", "/interface/ethernet", "/interface/veth", "/interface/vlan", "/interface/pppoe-client",
         "/interface/l2tp-client", "/interface/list", "/ip/pool", "/ip/dhcp-server", "/ppp/profile", "/routing/table",
         "/routing/ospf/instance", "/routing/ospf/area", "/routing/bgp/template", "/interface/bridge/port"]
LAST = ["/system/clock", "/system/identity", "/system/scheduler", "/system/script", "/tool/netwatch"]
NOT_EXPORTED = {"/user", "/user/group", "/file", "/log", "/certificate"}


def quote(value):
    if value != "" and PLAIN.fullmatch(value):
        return value
    escaped = value.translate({ord('"'): '\\"', ord("\\"): "\\\\", ord("$"): "\\$", ord("\r"): "\\r", ord("\n"): "\\n",
                               ord("\t"): "\\t", ord("?"): "\\?"})
    return f'"{escaped}"'


def fold(line, end):
    """Folded before a word where one fits, else within it."""
    parts = []
    indent = ""
    while len(indent) + len(line) > WIDTH:
        cut = WIDTH - len(indent) - 1
        blank = line.rfind(" ", 1, cut)
        equals = line.rfind("=", 1, cut) + 1
        at = blank + 1 if blank > cut // 2 else equals if equals > cut // 2 else cut
        while line[at - 1] == "\\" and at > 1:  # not between a backslash and what it escapes
            at -= 1
        parts.append(indent + line[:at] + "\\")
        line, indent = line[at:], "    "
    return end.join(parts + [indent + line])


def shown(router, menu, item, hide_secrets, verbose):
    words = []
    for property_ in sorted(menu.properties.values(), key=lambda p: p.name):
        value = item.get(property_.name)
        if value is None or property_.readonly or (property_.kind == "secret" and hide_secrets):
            continue
        if property_.kind == "flag":
            words.append(property_.name)
        elif verbose or value != property_.default:
            if menu.path == "/ip/address" and property_.name == "network" and not value:
                continue
            words.append(f"{property_.name}={quote(value)}")
    return words


def changed_words(router, menu, item, hide_secrets, verbose):
    """Of an item that cannot be added: "set [ find default-name=ether1 ] name=ISP1"."""
    if menu.path == "/ip/service":
        factory = next(i for i in router.factory[0][menu.path] if i.number == item.number)
        words = [f"{k}={quote(v)}" for k, v in sorted(item.items()) if v != factory.get(k)]
        return [item["name"]] + words if words else []
    name = item.get("default-name", item.get("name"))  # what control.py plugged in has no other
    factory = {"name": name, "mac-address": item.get("mac-address"), "default-name": item.get("default-name")}
    words = [word for word in shown(router, menu, {k: v for k, v in item.items() if v != factory.get(k)}, hide_secrets, verbose)]
    return [f"[ find default-name={name} ]"] + words if words else []


def section(router, path, hide_secrets, verbose):
    menu = router.menus[path]
    if menu.kind in ("status", "view") or path in NOT_EXPORTED:
        return []
    if menu.kind == "settings":
        words = shown(router, menu, router.settings[path], hide_secrets, verbose)
        return [" ".join(["set"] + words)] if words else []
    lines = []
    for item in router.items(path):
        if item.dynamic:
            continue
        if menu.kind == "fixed":
            words = changed_words(router, menu, item, hide_secrets, verbose)
            lines += [" ".join(["set"] + words)] if words else []
        elif path == "/ppp/profile" and item["name"].startswith("default"):
            words = [f"{k}={quote(v)}" for k, v in sorted(item.items())
                     if v != next(i for i in router.factory[0][path] if i.number == item.number).get(k)]
            lines += [" ".join(["set", item.id] + words)] if words else []
        else:
            lines.append(" ".join(["add"] + shown(router, menu, item, hide_secrets, verbose)))
    return lines


def export(router, now_text, under="/", hide_secrets=None, verbose=False):
    """The whole text. Secrets: v6 shows them unless told to hide them, v7 the other way round."""
    if hide_secrets is None:
        hide_secrets = router.version[0] == 7
    end = "\r\n"
    head = [f"# {now_text} by RouterOS {router.version_text}", "# software id = ROSI-M000", "#"]
    if router.version[0] == 6:
        head += ["# model = RB951Ui-2nD", "# serial number = 000000000000"]
    places = {path: (0, FIRST.index(path)) if path in FIRST else (2, LAST.index(path)) if path in LAST else (1, path)
              for path in router.menus}
    lines = head
    for path in sorted(router.menus, key=lambda p: (places[p][0], str(places[p][1]).zfill(3))):
        if not (path == under or path.startswith(under.rstrip("/") + "/")):
            continue
        body = section(router, path, hide_secrets, verbose)
        if body:
            lines.append("/" + path.strip("/").replace("/", " "))
            lines += [fold(line, end) for line in body]
    return end.join(lines) + end
