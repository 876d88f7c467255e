"""
RouterOS's script language, as far as the tests need it: a parser that knows the menus, and an interpreter.

RouterOS resolves commands and parameters when it reads a script, so a wrong name is a syntax error with line and column, and a
script that is read as a whole (execute, :parse, system script) then does nothing at all. `import` reads and runs line by line.
Anything that is not known here is refused in the same way, never skipped.
"""
import re

from .errors import Trap
from .parser import Parser
from .values import TIME_LITERAL, Time, seconds, text_of


class Ended(Exception):
    """:return, with its value."""


def typed(text):
    """A bare word is a number, a truth or a time where it looks like one."""
    if text in ("true", "false"):
        return text == "true"
    if re.fullmatch(r"-?\d+", text):
        return int(text)
    return Time(seconds(text)) if TIME_LITERAL.fullmatch(text) else text


class Interpreter:
    MAX_STEPS = 100_000

    def __init__(self, router, commands, policies=None):
        """policies: of the user whose script it is; None: all."""
        self.router, self.commands, self.policies = router, commands, policies
        self.variables = {}
        self.globals = set()  # names that are declared here; their values are the router's
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
            if self.commands.is_stopped:
                raise Trap("interrupted", 2)
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
        arguments = {name: self.text(value) for name, value in named.items()}
        keys = []
        for value in positional:
            got = value[1] if value[0] == "text" else self.evaluate(value)
            keys += [text_of(part) for part in got] if isinstance(got, list) else text_of(got).split(",")
        try:
            return self.commands.run(self, path, verb, arguments, keys)
        except Trap as trap:
            self.locate(trap, path, verb, position)

    def matching(self, path, conditions):
        wanted = [(name, operator, self.text(value)) for name, operator, value in conditions]
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
        arguments = {name: self.text(value) for name, value in named.items()}
        try:
            return self.commands.export(self, path, flags, arguments)
        except Trap as trap:
            self.locate(trap, path, "export", position)

    # --- colon commands -------------------------------------------------------------------------

    def do_local(self, name, value, _position):
        self.globals.discard(name)
        self.variables[name] = self.evaluate(value) if value else None

    def do_global(self, name, value, _position):
        self.globals.add(name)
        if value:
            self.router.globals[name] = self.evaluate(value)

    def do_set(self, name, value, _position):
        """Without a value it takes a global variable away."""
        if name in self.globals:
            if value:
                self.router.globals[name] = self.evaluate(value)
            else:
                self.router.globals.pop(name, None)
        elif name in self.variables:
            self.variables[name] = self.evaluate(value) if value else None
        else:
            raise Trap("syntax error")  # RouterOS: a variable must be declared

    def do_put(self, arguments, _position):
        self.put(" ".join(text_of(self.evaluate(value)) for value in arguments))

    def do_error(self, arguments, position):
        message = text_of(self.evaluate(arguments[0])) if arguments else ""
        if self.router.version >= (7, 17):
            message += f" (:error; line {position[0]})"
        raise Trap(message, 3)

    def do_log(self, arguments, _position):
        self.commands.log(text_of(self.evaluate(arguments[0])), text_of(self.evaluate(arguments[1])))

    def do_delay(self, arguments, _position):
        self.commands.wait(seconds(text_of(self.evaluate(arguments[0])) if arguments else "1s"))

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

    def do_totime(self, arguments, _position):
        try:
            return Time(seconds(text_of(self.evaluate(arguments[0]))))
        except ValueError:
            return None

    def do_typeof(self, arguments, _position):
        value = self.evaluate(arguments[0])
        return {bool: "bool", int: "num", list: "array", dict: "array", Time: "time", type(None): "nothing"}.get(type(value), "str")

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

    def text(self, node):
        """Of an argument: a bare word is what the argument takes it for."""
        return node[1] if node[0] == "text" else text_of(self.evaluate(node))

    def evaluate(self, node):
        kind = node[0]
        if kind == "text":
            return typed(node[1])
        if kind == "string":
            return "".join(text_of(self.evaluate(part)) if part[0] != "text" else part[1] for part in node[1])
        if kind == "variable":
            if node[1] in self.globals:
                return self.router.globals.get(node[1])
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
        is_time = isinstance(a, Time) or isinstance(b, Time)
        if not all(isinstance(value, (int, Time)) for value in (a, b)):
            raise Trap("Script Error: cannot compare or compute with what is no number")
        a, b = (value.total_s if isinstance(value, Time) else value for value in (a, b))
        if is_time and operator in ("+", "-"):
            return Time(a + b if operator == "+" else a - b)
        if is_time and operator not in ("<", ">", "<=", ">="):
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
