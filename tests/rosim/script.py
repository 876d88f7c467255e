"""
RouterOS's script language, as far as the tests need it: a parser that knows the menus, and an interpreter.

RouterOS resolves commands and parameters when it reads a script, so a wrong name is a syntax error with line and column, and a
script that is read as a whole (execute, :parse, system script) then does nothing at all. `import` reads and runs line by line.
Anything that is not known here is refused in the same way, never skipped.
"""
import re

from .errors import Trap

WORD_END = set(" \t\r\n;{}[]()\"$")
COLONS = {"local", "global", "set", "put", "error", "if", "foreach", "for", "while", "do", "delay", "log", "parse", "onerror",
          "len", "tostr", "tonum", "pick", "typeof", "return", "resolve", "nothing", "environment"}
ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$", "?": "?", "_": " ", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}


class SyntaxTrap(Trap):
    """A script that cannot be read."""


class Ended(Exception):
    """:return, with its value."""


class Parser:
    """Reads statements. `menu` is where the last path left us: lines of an export follow their section."""

    def __init__(self, router, commands, text, line=1):
        self.router, self.commands, self.text = router, commands, text
        self.at = 0
        self.first_line = line
        self.menu = "/"

    # --- characters -----------------------------------------------------------------------------

    def where(self, at=None):
        before = self.text[:self.at if at is None else at]
        return before.count("\n") + self.first_line, len(before) - (before.rfind("\n") + 1) + 1

    def fail(self, message, at=None):
        line, column = self.where(at)
        raise SyntaxTrap(f"{message} (line {line} column {column})")

    def peek(self):
        return self.text[self.at] if self.at < len(self.text) else ""

    def skip_blanks(self, lines=False):
        while self.at < len(self.text):
            if self.text[self.at] in " \t\r" or (lines and self.text[self.at] in "\n;"):
                self.at += 1
            elif folded := re.match(r"\\\r?\n[ \t]*", self.text[self.at:]):
                self.at += folded.end()
            elif lines and self.text[self.at] == "#":
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
            else:
                return

    def at_end(self):
        self.skip_blanks()
        return self.peek() in ("", "\n", ";", "}", "]")

    def take(self, text):
        self.skip_blanks()
        if self.text.startswith(text, self.at):
            self.at += len(text)
            return True
        return False

    def expect(self, text):
        if not self.take(text):
            self.fail("syntax error")

    def word(self, stops=""):
        start = self.at
        while self.at < len(self.text) and self.text[self.at] not in WORD_END and self.text[self.at] not in stops:
            if folded := re.match(r"\\\r?\n[ \t]*", self.text[self.at:]):
                if start == self.at:
                    self.at += folded.end()
                    start = self.at
                    continue
                rest_at = self.at
                self.at += folded.end()
                return self.text[start:rest_at] + self.word(stops)
            self.at += 1
        return self.text[start:self.at]

    # --- statements -----------------------------------------------------------------------------

    def statements(self, end=""):
        found = []
        while True:
            self.skip_blanks(lines=True)
            if self.peek() == end:
                return found
            if self.peek() == "":
                self.fail("expected closing brace")
            found.append(self.statement())

    def statement(self):
        """One command, up to the end of its line, ";" or the bracket that encloses it."""
        position = self.where()
        start = self.at
        if self.peek() == ":":
            self.at += 1
            node = self.colon(position)
        elif self.peek() == "{":
            self.at += 1
            node = ("block", self.block_rest(), position)
        elif self.peek() == "$":
            node = ("value", self.value(), position)
        else:
            node = self.command(position, start)
        self.skip_blanks()
        if self.peek() not in ("", "\n", ";", "}", "]"):
            self.fail("expected end of command")
        return node

    def block(self):
        self.expect("{")
        return self.block_rest()

    def block_rest(self):
        outer = self.menu
        body = self.statements("}")
        self.menu = outer
        self.at += 1
        return body

    def named(self, *names):
        """name=... pairs of a colon command: do={...} takes a block, the others a value."""
        found = {}
        while not self.at_end():
            start = self.at
            name = self.word("=")
            if name not in names or not self.take("="):
                self.fail("expected end of command", start)
            found[name] = self.block() if name in ("do", "else", "on-error", "in_block") else self.value()
        return found

    def colon(self, position):
        start = self.at
        name = self.word()
        if name not in COLONS:
            self.fail(f"bad command name {name}", start)
        if name in ("local", "global", "set"):
            self.skip_blanks()
            variable = self.word()
            return (name, variable, None if self.at_end() else self.value(), position)
        if name == "if":
            condition = self.value()
            return ("if", condition, self.named("do", "else"), position)
        if name == "foreach":
            self.skip_blanks()
            variable = self.word()
            return ("foreach", variable, self.named("in", "do"), position)
        if name == "for":
            self.skip_blanks()
            variable = self.word()
            return ("for", variable, self.named("from", "to", "step", "do"), position)
        if name == "while":
            condition = self.value()
            return ("while", condition, self.named("do"), position)
        if name == "do":
            body = self.block()
            return ("do", body, self.named("on-error", "while"), position)
        if name == "onerror":
            if self.router.version < (7, 20):
                self.fail(f"bad command name {name}", start)
            self.skip_blanks()
            variable = self.word()
            self.expect("in=")
            body = self.block()
            return ("onerror", variable, body, self.named("do"), position)
        arguments = []
        while not self.at_end():
            arguments.append(self.value())
        return (name, arguments, position)

    # --- commands of menus ----------------------------------------------------------------------

    def command(self, position, start):
        path = "/" if self.peek() == "/" else self.menu
        self.take("/")
        while True:
            self.skip_blanks()
            at = self.at
            if self.at_end():
                break
            words = self.word("=").strip("/").split("/")
            for index, word in enumerate(words):
                if word == "..":
                    path = path.rsplit("/", 1)[0] or "/"
                    continue
                below = path.rstrip("/") + "/" + word
                if below in self.commands.prefixes and not self.commands.is_verb(path, word):
                    path = below
                elif index == len(words) - 1 and self.commands.is_verb(path, word):
                    outer, self.menu = self.menu, path  # [find ...] among the arguments looks here
                    node = self.arguments(path, word, position)
                    self.menu = outer
                    return node
                else:
                    self.fail(f"bad command name {word}", at)
        self.menu = path  # a path alone: what follows is relative to it
        return ("menu", path, position)

    def arguments(self, path, verb, position):
        if verb in ("find", "print") or verb == "export":
            return self.query(path, verb, position)
        allowed = self.commands.parameters(path, verb)
        named, positional = {}, []
        while not self.at_end():
            start = self.at
            match = re.match(r"(!?[A-Za-z][\w.-]*)=", self.text[self.at:])
            if match:
                name = match.group(1)
                if name not in allowed:
                    self.fail("expected end of command", start)
                self.at += match.end()
                named[name] = ("text", "") if self.at_end() or self.peek() in " \t" else self.value()
            else:
                flag = re.match(r"!?[A-Za-z][\w-]*(?=[\s;\]}]|$)", self.text[self.at:])
                if flag and flag.group().lstrip("!") in allowed and (positional or verb == "add"):
                    self.at += flag.end()
                    named[flag.group().lstrip("!")] = ("text", "" if flag.group()[0] != "!" else "no")
                else:
                    positional.append(self.value())
        if positional and not self.commands.takes_positional(path, verb):
            self.fail("expected end of command", start)
        return ("command", path, verb, named, positional, position)

    def query(self, path, verb, position):
        """print and find: conditions, and words such as detail, count-only, where."""
        conditions, flags, named = [], [], {}
        menu = self.router.menus.get(path)
        has_where = verb == "find"
        while not self.at_end():
            start = self.at
            if self.take("&&"):
                continue
            match = re.match(r"([A-Za-z.][\w.-]*)\s*(!=|<=|>=|=|~|<|>)", self.text[self.at:])
            if match and match.group(1) in ("file", "from", "as-value", "value-list", "compact", "verbose", "terse"):
                self.at += match.end()
                named[match.group(1)] = self.value()
            elif match:
                if menu is None or (match.group(1) not in menu.properties and match.group(1) != ".id"
                                    and path != "/interface"):
                    self.fail("expected end of command", start)
                self.at += match.end()
                conditions.append((match.group(1), match.group(2), self.value()))
            else:
                negated = self.take("!")
                word = self.word()
                if word == "where":
                    has_where = True
                elif word == "and" and has_where:
                    continue
                elif has_where and menu is not None and word in menu.properties:
                    conditions.append((word, "=", ("text", "no" if negated else "yes")))
                elif word and not negated and re.fullmatch(r"[a-z-]+", word) and (verb != "find"):
                    flags.append(word)
                elif not word and self.peek() == "[" and verb == "print":
                    named["from"] = self.value()
                else:
                    self.fail("expected end of command", start)
        return (verb, path, conditions, flags, named, position)

    # --- values ---------------------------------------------------------------------------------

    def value(self):
        self.skip_blanks()
        character = self.peek()
        if character == '"':
            return self.string()
        if character == "$":
            self.at += 1
            return self.variable()
        if character == "[":
            self.at += 1
            self.skip_blanks(lines=True)
            outer = self.menu
            node = self.statement()
            self.menu = outer
            self.skip_blanks(lines=True)
            self.expect("]")
            return ("call", node)
        if character == "(":
            self.at += 1
            node = self.expression()
            self.expect(")")
            return node
        if character == "{":
            self.at += 1
            items = []
            while not self.take("}"):
                items.append(self.value())
                self.take(";")
            return ("array", items)
        start = self.at
        word = self.word()
        if not word:
            self.fail("syntax error", start)
        return ("text", word)

    def variable(self):
        if self.peek() == '"':
            return ("variable", self.string()[1][0][1])
        match = re.match(r"[A-Za-z0-9]+", self.text[self.at:])  # no hyphens: as RouterOS reads a name
        if not match:
            self.fail("syntax error")
        self.at += match.end()
        node = ("variable", match.group())
        while self.text.startswith("->", self.at):
            self.at += 2
            node = ("element", node, self.value())
        return node

    def string(self):
        start = self.at
        self.at += 1
        parts, text = [], ""
        while True:
            character = self.peek()
            if character == "":
                self.fail("expected closing quote", start)
            self.at += 1
            if character == '"':
                break
            if character == "\\":
                folded = re.match(r"\r?\n[ \t]*", self.text[self.at:])
                hexadecimal = re.match(r"[0-9A-F]{2}", self.text[self.at:])
                if folded:
                    self.at += folded.end()
                elif hexadecimal:
                    text += chr(int(hexadecimal.group(), 16))
                    self.at += 2
                elif self.peek() in ESCAPES:
                    text += ESCAPES[self.peek()]
                    self.at += 1
                else:
                    self.fail("syntax error")
            elif character == "$" and re.match(r"[A-Za-z0-9\"(\[]", self.peek() or " "):
                parts.append(("text", text))
                text = ""
                parts.append(self.variable() if self.peek() not in "([" else self.value())
            else:
                text += character
        return ("string", parts + [("text", text)])

    LEVELS = [("||", "or"), ("&&", "and"), ("=", "!=", "<=", ">=", "<", ">", "~", "in"), (".",), ("+", "-"), ("*", "/", "%")]

    def expression(self, level=0):
        if level == len(self.LEVELS):
            self.skip_blanks(lines=True)
            if self.take("!"):
                return ("not", self.expression(level))
            if self.peek() == "-":
                self.at += 1
                return ("binary", "-", ("text", "0"), self.expression(level))
            if self.peek() in '"$[({':
                return self.value()
            start = self.at
            word = self.word("=<>!~+*/&|%,")
            if not word:
                self.fail("syntax error", start)
            return ("text", word)
        left = self.expression(level + 1)
        while True:
            self.skip_blanks(lines=True)
            operator = next((o for o in sorted(self.LEVELS[level], key=len, reverse=True) if self.text.startswith(o, self.at)
                             and (not o.isalpha() or re.match(r"\W", self.text[self.at + len(o):]))), None)
            if operator is None:
                return left
            self.at += len(operator)
            left = ("binary", operator, left, self.expression(level + 1))


# --- running ------------------------------------------------------------------------------------


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


def typed(text):
    """A bare word is a number or a truth where it looks like one."""
    if text in ("true", "false"):
        return text == "true"
    return int(text) if re.fullmatch(r"-?\d+", text) else text


class Interpreter:
    MAX_STEPS = 100_000

    def __init__(self, router, commands):
        self.router, self.commands = router, commands
        self.variables = {}
        self.output = []
        self.steps = 0
        self.position = (1, 1)

    def put(self, text):
        self.output.append(text)

    def run(self, text):
        """Reads all of it, then runs it: as execute and system script do."""
        self.execute(Parser(self.router, self.commands, text).statements())

    def run_lines(self, text, on_statement=None):
        """Reads and runs statement by statement: as import does."""
        parser = Parser(self.router, self.commands, text)
        while True:
            parser.skip_blanks(lines=True)
            if parser.peek() == "":
                return
            start = parser.at
            line = parser.where()[0]
            node = parser.statement()
            if on_statement:
                on_statement(line, text[start:parser.at])
            self.execute([node])

    def execute(self, body):
        result = None
        for node in body:
            self.steps += 1
            if self.steps > self.MAX_STEPS:
                raise Trap("interrupted", 2)
            result = self.step(node)
        return result

    def step(self, node):
        return getattr(self, "do_" + node[0].replace("-", "_"))(*node[1:])

    def locate(self, trap, path, verb, position):
        """From 7.17 on a failing command names itself and its line [assumed from transcripts]."""
        if self.router.version >= (7, 17) and "line " not in trap.message:
            raise Trap(f"{trap.message} ({path.rstrip('/')}/{verb}; line {position[0]})", trap.category)
        raise trap

    def do_menu(self, _path, _position):
        return None

    def do_block(self, body, _position):
        return self.execute(body)

    def do_value(self, value, _position):
        return self.evaluate(value)

    def do_command(self, path, verb, named, positional, position):
        arguments = {name: text_of(self.evaluate(value)) for name, value in named.items()}
        keys = []
        for value in positional:
            got = self.evaluate(value)
            keys += [text_of(part) for part in got] if isinstance(got, list) else text_of(got).split(",")
        try:
            return self.commands.run(self, path, verb, arguments, keys)
        except Trap as trap:
            self.locate(trap, path, verb, position)

    def matching(self, path, conditions):
        wanted = [(name, operator, text_of(self.evaluate(value))) for name, operator, value in conditions]
        return [row for row in self.commands.rows(path) if all(matches(row, *one) for one in wanted)]

    def do_find(self, path, conditions, _flags, _named, _position):
        return [row[".id"] for row in self.matching(path, conditions)]

    def do_print(self, path, conditions, flags, named, position):
        try:
            rows = self.matching(path, conditions)
        except Trap as trap:
            self.locate(trap, path, "print", position)
        if "from" in named:
            wanted = self.evaluate(named["from"])
            rows = [row for row in rows if row.get(".id") in wanted or row.get("name") in wanted]
        if "count-only" in flags:
            self.put(str(len(rows)))
            return len(rows)
        if "as-value" in flags:
            return rows
        text = self.commands.table(path, rows, flags)
        if "file" in named:
            self.router.files[text_of(self.evaluate(named["file"])) + ".txt"] = text.encode()
        else:
            self.put(text)
        return None

    def do_export(self, path, _conditions, flags, named, position):
        arguments = {name: text_of(self.evaluate(value)) for name, value in named.items()}
        try:
            return self.commands.export(self, path, flags, arguments)
        except Trap as trap:
            self.locate(trap, path, "export", position)

    # --- colon commands -------------------------------------------------------------------------

    def do_local(self, name, value, _position):
        self.variables[name] = self.evaluate(value) if value else None

    do_global = do_local

    def do_set(self, name, value, _position):
        if name not in self.variables:
            raise Trap("syntax error")  # RouterOS: a variable must be declared
        self.variables[name] = self.evaluate(value) if value else None

    def do_put(self, arguments, _position):
        self.put(" ".join(text_of(self.evaluate(value)) for value in arguments))

    def do_error(self, arguments, position):
        message = text_of(self.evaluate(arguments[0])) if arguments else ""
        if self.router.version >= (7, 17):
            message += f" (:error; line {position[0]})"
        raise Trap(message, 3)

    def do_log(self, arguments, _position):
        self.router.log(text_of(self.evaluate(arguments[0])), text_of(self.evaluate(arguments[1])))

    def do_delay(self, arguments, _position):
        self.commands.delay(text_of(self.evaluate(arguments[0])) if arguments else "1s")

    def do_if(self, condition, parts, _position):
        branch = "do" if self.evaluate(condition) is True else "else"
        return self.execute(parts.get(branch, []))

    def do_foreach(self, variable, parts, _position):
        found = self.evaluate(parts["in"])
        for value in found if isinstance(found, list) else [found]:
            self.variables[variable] = value
            self.execute(parts["do"])

    def do_for(self, variable, parts, _position):
        first, last = (int(text_of(self.evaluate(parts[name]))) for name in ("from", "to"))
        step = int(text_of(self.evaluate(parts["step"]))) if "step" in parts else (1 if last >= first else -1)
        for number in range(first, last + (1 if step > 0 else -1), step):
            self.variables[variable] = number
            self.execute(parts["do"])

    def do_while(self, condition, parts, _position):
        while self.evaluate(condition) is True:
            self.steps += 1
            self.execute(parts["do"])

    def do_do(self, body, parts, _position):
        try:
            result = self.execute(body)
            while "while" in parts and self.evaluate(parts["while"]) is True:
                result = self.execute(body)
            return result
        except Trap:
            if "on-error" not in parts:
                raise
            return self.execute(parts["on-error"])

    def do_onerror(self, variable, body, parts, _position):
        try:
            self.execute(body)
            return False
        except Trap as trap:
            self.variables[variable] = trap.message
            self.execute(parts["do"])
            return True

    def do_parse(self, arguments, _position):
        return Parser(self.router, self.commands, text_of(self.evaluate(arguments[0]))).statements()

    def do_return(self, arguments, _position):
        raise Ended(self.evaluate(arguments[0]) if arguments else None)

    def do_len(self, arguments, _position):
        value = self.evaluate(arguments[0])
        return len(value) if isinstance(value, (list, dict)) else len(text_of(value))

    def do_tostr(self, arguments, _position):
        return text_of(self.evaluate(arguments[0]))

    def do_tonum(self, arguments, _position):
        text = text_of(self.evaluate(arguments[0]))
        return int(text) if re.fullmatch(r"-?\d+", text) else None

    def do_typeof(self, arguments, _position):
        value = self.evaluate(arguments[0])
        return {bool: "bool", int: "num", list: "array", dict: "array", type(None): "nothing"}.get(type(value), "str")

    def do_pick(self, arguments, _position):
        value, *bounds = [self.evaluate(argument) for argument in arguments]
        start = int(text_of(bounds[0]))
        return value[start:int(text_of(bounds[1])) if len(bounds) > 1 else start + 1]

    def do_nothing(self, _arguments, _position):
        return None

    def do_resolve(self, _arguments, _position):
        raise Trap("failure: dns server failure")

    def do_environment(self, _arguments, _position):
        return None

    # --- values ---------------------------------------------------------------------------------

    def evaluate(self, node):
        kind = node[0]
        if kind == "text":
            return typed(node[1])
        if kind == "string":
            return "".join(text_of(self.evaluate(part)) if part[0] != "text" else part[1] for part in node[1])
        if kind == "variable":
            return self.variables.get(node[1])  # undeclared: nothing, without a word
        if kind == "element":
            holder, key = self.evaluate(node[1]), self.evaluate(node[2])
            return holder.get(text_of(key)) if isinstance(holder, dict) else holder[int(key)]
        if kind == "call":
            return self.step(node[1])
        if kind == "array":
            return [self.evaluate(part) for part in node[1]]
        if kind == "not":
            return self.evaluate(node[1]) is not True
        return self.binary(*node[1:])

    def binary(self, operator, left, right):
        a = self.evaluate(left)
        if operator in ("||", "or"):
            return a is True or self.evaluate(right) is True
        if operator in ("&&", "and"):
            return a is True and self.evaluate(right) is True
        b = self.evaluate(right)
        if operator == ".":
            return text_of(a) + text_of(b)
        if operator == "~":
            return re.search(text_of(b), text_of(a)) is not None
        if operator == "in":
            return text_of(a) in [text_of(part) for part in (b if isinstance(b, list) else [b])]
        if operator in ("=", "!="):
            return (text_of(a) == text_of(b)) == (operator == "=")
        if not isinstance(a, int) or not isinstance(b, int):
            raise Trap("Script Error: cannot compare or compute with what is no number")
        if operator in ("/", "%") and b == 0:
            raise Trap("division by zero")
        return {"<": a < b, ">": a > b, "<=": a <= b, ">=": a >= b, "+": a + b, "-": a - b, "*": a * b,
                "/": a // b if b else 0, "%": a % b if b else 0}[operator]


def matches(row, name, operator, wanted):
    value = row.get(name, "")
    if operator == "~":
        return re.search(wanted, value) is not None
    same = value == wanted or (value, wanted) in (("true", "yes"), ("false", "no"), ("yes", "true"), ("no", "false"))
    if operator in ("=", "!="):
        return same == (operator == "=")
    try:
        a, b = float(value), float(wanted)
    except ValueError:
        a, b = value, wanted
    return {"<": a < b, ">": a > b, "<=": a <= b, ">=": a >= b}[operator]
