"""
The commands of a simulated router: one way in for the API, terminals and scripts.

A command is a path and a verb. Most verbs are the same in every menu; those of one menu only stand in SPECIAL. run() returns a
value (the id of what was added, a job's output, ...) or raises Trap.
"""
import time

from . import export as exporting
from . import values
from .errors import Trap
from .parser import Parser
from .script import Ended, Interpreter, text_of

GENERAL = {"print", "find", "get", "set", "add", "remove", "enable", "disable", "move", "comment", "export", "unset", "edit"}

# (path, verb): parameters, first version, first version without it.
SPECIAL = {
    ("/", "import"): ({"file-name", "verbose", "from-line", "dry-run"}, (6, 0)),
    ("/", "execute"): ({"script", "file", "as-string"}, (6, 0)),
    ("/", "export"): ({"file", "hide-sensitive", "show-sensitive", "compact", "verbose", "terse"}, (6, 0)),
    ("/", "quit"): (set(), (6, 0)),
    ("/safe-mode", "take"): (set(), (7, 18)),
    ("/safe-mode", "release"): (set(), (7, 18)),
    ("/safe-mode", "unroll"): (set(), (7, 18)),
    ("/system", "reboot"): (set(), (6, 0)),
    ("/system/device-mode", "update"): ({"mode", "scheduler", "fetch", "container"}, (7, 0)),
    ("/system/backup", "save"): ({"name", "password", "dont-encrypt", "encryption"}, (6, 0)),
    ("/system/backup", "load"): ({"name", "password"}, (6, 0)),
    ("/system/script", "run"): ({"number"}, (6, 0)),
    ("/file", "read"): ({"file", "offset", "chunk-size"}, (7, 0)),
    ("/file", "set"): ({"numbers", "contents", "name"}, (6, 0)),
    ("/interface/lte", "monitor"): ({"numbers", "once"}, (7, 0)),
    ("/interface/lte", "info"): ({"number", "numbers", "once"}, (6, 0), (7, 0)),
    ("/interface", "monitor-traffic"): ({"interface", "once"}, (6, 0)),
    ("/ppp/active", "remove"): ({"numbers"}, (6, 0)),
}


CHANGES = {"add", "set", "remove", "enable", "disable", "move", "comment", "unset", "import"}


def policies(path, verb):
    """What the group of a user must have for a command."""
    if (path, verb) in (("/system", "reboot"), ("/system/backup", "load")):
        return {"reboot"}
    if (path, verb) == ("/system/backup", "save") or (path == "/file" and verb in CHANGES):
        return {"write", "ftp"}
    if verb in CHANGES:
        return {"write", "policy"} if path.startswith("/user") else {"write"}
    return {"read"}


class Rebooted(Exception):
    """The router restarts: every session ends."""


class Commands:
    def __init__(self, router, wall=time.localtime, delay=time.sleep):
        self.router = router
        self.wall = wall
        self.delay_s = delay
        self.service_time_s = self.export_time_s = 0.0  # what a command, and an export, costs the router's processor
        self.prefixes = {"/"}
        for path in list(router.menus) + [path for path, verb in SPECIAL if self.has_special(path, verb)]:
            parts = path.strip("/").split("/")
            self.prefixes |= {"/" + "/".join(parts[:n]) for n in range(1, len(parts) + 1)}

    # --- what there is ----------------------------------------------------------------------------

    def has_special(self, path, verb):
        if (path, verb) not in SPECIAL:
            return False
        _, first, *without = SPECIAL[path, verb]
        return self.router.version >= first and not (without and self.router.version >= without[0])

    def is_verb(self, path, word):
        if self.has_special(path, word):
            return True
        if word == "export":
            return path in self.prefixes
        menu = self.router.menus.get(path)
        if menu is None or word not in GENERAL:
            return path == "/interface" and word in ("enable", "disable")
        if word in ("add", "move"):
            return menu.can_add if word == "add" else menu.kind == "ordered"
        if word in ("print", "get"):
            return True
        if word == "set":
            return menu.kind not in ("status", "view") or path == "/interface"
        if word == "remove":
            return menu.can_add or menu.kind == "view"
        return not menu.is_single

    def parameters(self, path, verb):
        if self.has_special(path, verb):
            return SPECIAL[path, verb][0]
        menu = self.router.menus.get(path)
        names = {p.name for p in menu.properties.values() if not p.readonly} if menu else set()
        return {"add": names | {"place-before", "copy-from"}, "set": names | {"numbers"}, "remove": {"numbers"},
                "enable": {"numbers"}, "disable": {"numbers"}, "get": {"number", "value-name"},
                "move": {"numbers", "destination"}, "comment": {"numbers", "comment"},
                "unset": {"numbers", "value-name"}}.get(verb, set())

    def takes_positional(self, path, verb):
        return verb not in ("add",) and not (verb == "set" and self.router.menus.get(path) and self.router.menus[path].is_single)

    def rows(self, path):
        return self.router.rows(path)

    # --- running ----------------------------------------------------------------------------------

    def run(self, interpreter, path, verb, arguments, keys=()):
        """keys: ids, names or numbers that stand before the parameters ("set 0 name=x")."""
        if interpreter.policies is not None and not policies(path, verb) <= interpreter.policies:
            raise Trap("not enough permissions (9)")
        if self.has_special(path, verb):  # a script's lines take their own time
            self.spend(self.service_time_s, time.monotonic())
            return self.carry_out(interpreter, path, verb, arguments, keys)
        began = time.monotonic()
        try:
            return self.carry_out(interpreter, path, verb, arguments, keys)
        finally:
            self.spend(self.service_time_s, began)

    def carry_out(self, interpreter, path, verb, arguments, keys):
        router, arguments = self.router, dict(arguments)
        keys = [key for text in [*keys, *arguments.pop("numbers", "").split(",")] for key in [text] if key != ""]
        special = getattr(self, f"run_{path.strip('/').replace('/', '_').replace('-', '_')}_{verb.replace('-', '_')}".replace("run__", "run_"), None)
        if self.has_special(path, verb) and special:
            return special(interpreter, arguments, keys)
        if not self.is_verb(path, verb):
            raise Trap("no such command" if path in self.prefixes else "no such command prefix")
        if verb == "add":
            return router.add(path, arguments).id
        if verb == "get":
            return self.get(path, arguments, list(keys))
        if verb == "move":
            destination = arguments.get("destination") or (keys.pop() if len(keys) > 1 else None)
            for key in keys:
                router.move(path, self.key(path, key), self.key(path, destination) if destination else None)
            return None
        if path == "/interface" and verb in ("set", "enable", "disable", "comment"):
            for key in keys:
                owner, item = self.interface(key)
                self.carry_out(interpreter, owner, verb, arguments, [item.id])
            return None
        keys = [self.key(path, key) for key in keys]
        if verb == "remove":
            router.remove(path, keys)
        elif verb in ("enable", "disable"):
            router.set(path, keys, {"disabled": "no" if verb == "enable" else "yes"})
        elif verb == "comment":
            router.set(path, keys, {"comment": arguments.get("comment", "")})
        elif verb == "unset":
            router.set(path, keys, {arguments["value-name"]: ""})
        else:
            router.set(path, keys, arguments)
        return None

    def spend(self, seconds, began):
        """The one processor was and is busy: every session waits, whoever asked and whether by a line or in a script."""
        left = began + seconds - time.monotonic()
        if seconds > 0 and left > 0:
            self.delay_s(left)

    def interface(self, key):
        for owner, item in self.router.interfaces():
            if key in (item.id, item["name"]):
                return owner, item
        raise Trap("no such item")

    def key(self, path, key):
        """In a terminal a number is a place in the list, as print shows it."""
        if key.isdigit() and path in self.router.config and int(key) < len(self.router.items(path)):
            return self.router.items(path)[int(key)].id
        return key

    def get(self, path, arguments, keys):
        rows = self.router.rows(path)
        if not self.router.menu(path).is_single:
            key = self.key(path, arguments.get("number") or (keys.pop(0) if keys else ""))
            rows = [row for row in rows if key in (row.get(".id"), row.get("name"))]
        if not rows:
            raise Trap("no such item")
        name = arguments.get("value-name") or (keys[0] if keys else None)
        if name is None:
            return rows[0]
        if name not in self.router.menu(path).properties and path != "/interface":
            raise Trap(f"unknown value name {name}")
        value = rows[0].get(name)
        if value in ("true", "false"):
            return value == "true"
        is_time = name == "uptime" or getattr(self.router.menu(path).properties.get(name), "kind", "") == "time"
        return values.Time(values.seconds(value)) if is_time and value else value

    # --- scripts, files -----------------------------------------------------------------------------

    def execute_text(self, text, allowed=None):
        """A whole script in a terminal of its own. Returns what it printed; a failure is its last line."""
        interpreter = Interpreter(self.router, self, allowed)
        try:
            interpreter.run(text)
        except Ended:
            pass
        except Trap as trap:
            interpreter.put(trap.message)
        return "\r\n".join(interpreter.output)

    def check_execute(self, arguments):
        if len(arguments.get("script", "")) > 64 * 1024:
            raise Trap("failure: script is too long")
        if "as-string" in arguments and self.router.version < (7, 8):
            raise Trap("unknown parameter")

    def run_execute(self, interpreter, arguments, keys):
        """Within a script or a terminal, which wait for it; the API's is api.py's."""
        arguments.setdefault("script", keys[0] if keys else "")
        self.check_execute(arguments)
        output = self.execute_text(arguments["script"], interpreter.policies)
        if "as-string" in arguments:
            return output
        if "file" in arguments:
            self.router.files[arguments["file"] + ".txt"] = output.encode()
        return "*1"  # a job; its errors are nowhere to be seen

    def run_import(self, interpreter, arguments, keys):
        name = arguments.get("file-name") or (keys[0] if keys else None)
        if name is None:
            raise Trap("missing value(s) of argument(s) file-name")
        if name not in self.router.files:
            raise Trap("failure: cannot open file")
        text = self.router.files[name].decode("utf-8", "surrogateescape")
        if text_of(arguments.get("dry-run", "no")) in ("", "yes", "true"):
            Parser(self.router, self, text).statements()
            return None
        verbose = text_of(arguments.get("verbose", "no")) in ("yes", "true")
        runner = Interpreter(self.router, self, interpreter.policies)
        runner.output = interpreter.output
        try:
            runner.run_lines(text, (lambda line, words: interpreter.put(f"#line {line}\r\n{words}")) if verbose else None)
        except Ended:
            pass
        interpreter.put("\r\nScript file loaded and executed successfully")
        return None

    def run_export(self, interpreter, arguments, _keys):
        return self.export(interpreter, "/", [], arguments)

    def export(self, interpreter, path, flags, arguments):
        words = set(flags) | {name for name, value in arguments.items() if name != "file"}
        is_six = self.router.version[0] == 6
        unknown = words - {"compact", "verbose", "terse", "hide-sensitive" if is_six else "show-sensitive"}
        if unknown:
            raise Trap("unknown parameter")
        began = time.monotonic()
        text = exporting.export(self.router, self.now_text(), path, "hide-sensitive" in words if is_six
                                else "show-sensitive" not in words, "verbose" in words)
        self.spend(self.export_time_s, began)
        if "file" in arguments:
            if interpreter.policies is not None and "ftp" not in interpreter.policies:
                raise Trap("not enough permissions (9)")
            self.router.write_file(arguments["file"] + ("" if arguments["file"].endswith(".rsc") else ".rsc"), text.encode())
        else:
            interpreter.put(text.rstrip("\r\n"))
        return None

    def now_text(self):
        now = self.wall()
        return time.strftime("%b/%d/%Y %H:%M:%S" if self.router.version < (7, 10) else "%Y-%m-%d %H:%M:%S", now).lower()

    def run_file_set(self, _interpreter, arguments, keys):
        names = {row[".id"]: row["name"] for row in self.router.rows("/file")}
        for key in keys:
            name = names.get(key, key)
            if name not in self.router.files:
                raise Trap("no such item")
            if "contents" in arguments:
                data = arguments["contents"].encode("utf-8", "surrogateescape")
                if len(data) > self.router.contents_limit:
                    raise Trap("failure: new contents too long")
                self.router.write_file(name, data)
            if "name" in arguments:
                self.router.files[arguments["name"]] = self.router.files.pop(name)

    def run_file_read(self, _interpreter, arguments, _keys):
        name = arguments.get("file", "")
        size = int(arguments.get("chunk-size", "32768"))
        if name not in self.router.files:
            raise Trap("no such item")
        if not 1 <= size <= 32768:
            raise Trap("value of chunk-size out of range (1..32768)")
        offset = int(arguments.get("offset", "0"))
        return {"data": self.router.files[name][offset:offset + size].decode("utf-8", "surrogateescape")}

    def run_system_script_run(self, interpreter, arguments, keys):
        for key in [*keys, *filter(None, [arguments.get("number")])]:
            item = self.router.find("/system/script", self.key("/system/script", key))
            item["run-count"] = str(int(item.get("run-count", "0")) + 1)
            Interpreter(self.router, self, interpreter.policies).run(item["source"])

    # --- modems ---------------------------------------------------------------------------------------

    def run_interface_lte_info(self, _interpreter, arguments, keys):
        """What control.py says of the modem; nothing more is known of it."""
        keys = [*keys, *filter(None, [arguments.get("number")])]
        if not keys:
            raise Trap("missing value(s) of argument(s) number")
        items = [self.router.find("/interface/lte", self.key("/interface/lte", key)) for key in keys]
        return [dict(self.router.modems.get(item["name"], {})) for item in items]

    run_interface_lte_monitor = run_interface_lte_info

    # --- save points ----------------------------------------------------------------------------------

    def run_system_backup_save(self, _interpreter, arguments, _keys):
        import pickle
        name = arguments.get("name", "MikroTik")
        self.router.write_file(name if name.endswith(".backup") else name + ".backup",
                               pickle.dumps((arguments.get("password", ""), self.router.save())))

    def run_system_backup_load(self, _interpreter, arguments, keys):
        import pickle
        name = arguments.get("name") or (keys[0] if keys else "")
        name = name if name.endswith(".backup") else name + ".backup"
        if name not in self.router.files:
            raise Trap("failure: cannot open file")
        password, state = pickle.loads(self.router.files[name])
        if password != arguments.get("password", ""):
            raise Trap("failure: wrong password")
        self.router.restore(state)
        self.router.boot()
        raise Rebooted()

    def run_system_device_mode_update(self, _interpreter, arguments, _keys):
        self.router.update_device_mode(arguments)

    def run_system_reboot(self, _interpreter, _arguments, _keys):
        self.router.boot()
        raise Rebooted()

    is_stopped = False  # a script that runs within a command ends by itself

    def wait(self, seconds):
        self.delay_s(seconds)

    def log(self, topics, message):
        self.router.log(topics, message)

    # --- what a terminal shows --------------------------------------------------------------------------

    def table(self, path, rows, flags):
        """print, in a terminal: not RouterOS's columns to the blank, but its flags, numbers and names."""
        menu = self.router.menus.get(path)
        if menu is not None and menu.is_single:
            width = max((len(name) for name in rows[0]), default=0)
            return "\r\n".join(f"{name:>{width + 2}}: {value}" for name, value in rows[0].items() if name != ".id")
        lines = []
        for number, row in enumerate(rows):
            marks = ("X" if row.get("disabled") == "true" else " ") + ("D" if row.get("dynamic") == "true" else " ")
            marks += "R" if row.get("running") == "true" else " "
            if row.get("comment"):
                lines.append(f"{number:>2} {marks} ;;; {row['comment']}")
            words = " ".join(f"{name}={exporting.quote(value)}" for name, value in row.items()
                             if name not in (".id", "comment", "disabled", "dynamic", "running", "invalid"))
            lines.append((f"{number:>2} {marks} " if not row.get("comment") else "       ") + words)
        return "\r\n".join(["Flags: X - disabled, D - dynamic, R - running"] + lines)
