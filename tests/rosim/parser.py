"""
The parser of RouterOS's script language (script.py): text to nodes, each a tuple of its kind and parts. It knows the menus, so a wrong
name is a syntax error with line and column. Anything that is not known here is refused, never skipped.
"""
import re

from .errors import Trap

WORD_END = set(" \t\r\n;{}[]()\"$")
COLONS = {"local", "global", "set", "put", "error", "if", "foreach", "for", "while", "do", "delay", "log", "parse", "onerror",
          "len", "tostr", "tonum", "totime", "pick", "typeof", "return", "resolve", "nothing", "environment"}
ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$", "?": "?", "_": " ", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}


class SyntaxTrap(Trap):
    """A script that cannot be read."""


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
            if self.at == at:
                self.fail("syntax error", at)
            if len(words) > 1 and self.router.version[0] == 6:
                self.fail("expected end of command", at + len(words[0]))  # menus between slashes came with 7
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
        if self.at == start:
            self.fail("syntax error", start)  # a bracket that closes nothing
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
                    named[flag.group().lstrip("!")] = ("text", "" if flag.group()[0] != "!" else self.unset(path, flag.group()[1:]))
                else:
                    positional.append(self.value())
        if positional and not self.commands.takes_positional(path, verb):
            self.fail("expected end of command", start)
        return ("command", path, verb, named, positional, position)

    def unset(self, path, name):
        """!name: no, or without a value."""
        return "no" if self.router.menus[path].properties[name].kind in ("bool", "flag") else ""

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
