"""The binary API of a simulated router: sessions, tags, queries, listen. See the manual, "API"."""
import asyncio
import hashlib
import os
import time

from .commands import Commands, Rebooted
from .errors import Trap
from .job import Job, run_beside
from .script import Interpreter, text_of
from .wire import encode_sentence, read_sentence

SAFE_ACTIONS = 100  # after that safe mode ends without a word, and nothing can be undone


class Query:
    """?name, ?-name, ?name=x, ?<name=x, ?>name=x and ?#operators: a stack machine."""

    def __init__(self, words):
        self.words = words

    def matches(self, row):
        stack = []
        for word in self.words:
            word = word[1:]
            if word.startswith("#"):
                self.operate(word[1:], stack)
            elif word.startswith("-"):
                stack.append(word[1:] not in row)
            else:
                operator = word[0] if word[0] in "<>=" else "="
                name, equals, wanted = word.lstrip("<>=").partition("=")
                if not equals:
                    stack.append(name in row)
                elif operator == "=":
                    stack.append(row.get(name) == wanted)
                else:
                    stack.append(name in row and compare(row[name], wanted) == (1 if operator == ">" else -1))
        return all(stack)

    @staticmethod
    def operate(operators, stack):
        index = 0
        for position, operator in enumerate(operators):
            if operator.isdigit():
                continue
            if operator == "!":
                stack.append(not stack.pop())
            elif operator in "&|":
                a, b = stack.pop(), stack.pop()
                stack.append((a and b) if operator == "&" else (a or b))
            elif operator == ".":
                digits = operators[index:position]
                stack.append(stack[-1 - int(digits or 0)])
            index = position + 1


def compare(a, b):
    try:
        a, b = float(a), float(b)
    except ValueError:
        pass
    return (a > b) - (a < b)


class Session:
    def __init__(self, server, reader, writer):
        self.server, self.reader, self.writer = server, reader, writer
        self.router, self.commands = server.router, server.commands
        self.user = None
        self.challenge = None
        self.tasks = {}  # tag -> asyncio task
        self.jobs = {}  # tag -> script whose output is waited for
        self.safe = None  # (saved state, config_writes at its start)

    def send(self, reply, attributes=(), tag=None):
        mark = [f".tag={tag}"] if tag is not None else []
        words = [f"={name}={text_of(value)}" for name, value in attributes]
        self.writer.write(encode_sentence([reply, *words, *mark] if self.server.is_tag_last else [reply, *mark, *words]))

    def done(self, tag, attributes=()):
        self.send("!done", attributes, tag)

    def trap(self, tag, message, category=None):
        self.send("!trap", ([("category", category)] if category is not None else []) + [("message", message)], tag)
        self.done(tag)

    async def serve(self):
        try:
            while (words := await read_sentence(self.reader)) is not None:
                if self.server.is_full(self):
                    self.writer.write(encode_sentence(["!fatal", "too many connections"]))
                    break
                if not await self.take(words):
                    break
                await self.writer.drain()
        except ValueError as error:
            self.writer.write(encode_sentence(["!fatal", f"malformed: {error}"]))
        except Rebooted:
            self.server.reboot()
        except ConnectionError:
            pass
        finally:
            self.end()

    def end(self):
        for task in self.tasks.values():
            task.cancel()
        for job in self.jobs.values():
            job.stop()
        if self.holds_safe_mode():
            self.router.restore(self.safe[0])  # the session is lost: undone
        self.server.sessions.discard(self)
        self.writer.close()

    def split(self, words):
        attributes, queries, tag = {}, [], None
        for word in words[1:]:
            if word.startswith("="):
                name, _, value = word[1:].partition("=")
                attributes[name] = value
            elif word.startswith(".tag="):
                tag = word[5:]
            elif word.startswith("?"):
                queries.append(word)
            else:
                raise ValueError(f"unknown word {word[:20]!r}")
        return attributes, queries, tag

    async def take(self, words):
        attributes, queries, tag = self.split(words)
        path, _, verb = words[0].rpartition("/")
        self.server.commands_seen += 1
        if words[0] == "/login":
            return self.login(attributes, tag)
        if self.user is None:
            self.writer.write(encode_sentence(["!fatal", "not logged in"]))
            return False
        if words[0] == "/quit":
            self.writer.write(encode_sentence(["!fatal", "session terminated on request"]))
            return False
        if words[0] == "/cancel":
            self.cancel(attributes.get("tag"), tag)
        elif verb == "listen" and path in self.router.menus:
            self.tasks[tag] = asyncio.ensure_future(self.listen(path, attributes, queries, tag))
        elif path == "/safe-mode" and self.commands.has_special(path, verb):
            self.safe_mode(verb, tag)
        elif words[0] == "/execute":
            self.execute(attributes, tag)
        else:
            # Commands.run() takes the time of all others.
            await asyncio.sleep(self.server.service_time_s if verb in ("print", "getall") else 0)
            self.command(path or "/", verb, attributes, queries, tag)
        return True

    # --- login ----------------------------------------------------------------------------------

    def login(self, attributes, tag):
        user, password = attributes.get("name"), attributes.get("password")
        known = {item["name"]: item.get("password", "") for item in self.router.items("/user") if item.get("disabled") != "yes"}
        if self.server.old_login and password is not None:
            password = None  # before 6.43 it is not looked at: a challenge comes
        if password is None and "response" not in attributes:
            self.challenge = os.urandom(16)
            self.done(tag, [("ret", self.challenge.hex())])
            return True
        if password is not None:
            is_right = user in known and known[user] == password
        else:
            wanted = hashlib.md5(b"\0" + known.get(user, "").encode() + (self.challenge or b"")).hexdigest()
            is_right = user in known and self.challenge is not None and attributes["response"] == "00" + wanted
        if is_right and "api" in self.router.policies_of(user):
            self.user = user
            self.done(tag)
        else:
            self.trap(tag, "invalid user name or password (6)" if self.router.version[0] == 7 else "cannot log in")
        return True

    # --- commands -------------------------------------------------------------------------------

    def command(self, path, verb, attributes, queries, tag):
        try:
            if verb in ("print", "getall"):
                self.print(path, attributes, queries, tag)
                return
            interpreter = Interpreter(self.router, self.commands, self.policies)
            keys = [key for name in (".id", "numbers") for key in attributes.pop(name, "").split(",") if key]
            if verb in ("set", "remove", "enable", "disable") and not keys and not self.is_single(path):
                raise Trap("no such item" if verb != "set" else "missing =.id=")
            self.check_parameters(path, verb, attributes)
            result = self.commands.run(interpreter, path, verb, attributes, keys)
            self.router.settle()
            if isinstance(result, list):
                for row in result:
                    self.send("!re", row.items(), tag)
                result = None
            self.done(tag, result.items() if isinstance(result, dict) and verb == "read" else
                      [("ret", result)] if result is not None else ())
        except Trap as trap:
            self.trap(tag, trap.message, trap.category)

    def is_single(self, path):
        menu = self.router.menus.get(path)
        return menu is not None and menu.is_single

    def check_parameters(self, path, verb, attributes):
        if not self.commands.is_verb(path, verb):
            raise Trap("no such command" if path in self.commands.prefixes else "no such command prefix")
        unknown = set(attributes) - self.commands.parameters(path, verb)
        if unknown and path != "/interface":
            raise Trap("unknown parameter")

    @property
    def policies(self):
        return self.router.policies_of(self.user)

    def print(self, path, attributes, queries, tag):
        if "read" not in self.policies:
            raise Trap("not enough permissions (9)")
        if not self.commands.is_verb(path, "print"):
            raise Trap("no such command prefix" if path not in self.commands.prefixes else "no such command")
        wanted = attributes.get(".proplist")
        rows = [row for row in self.router.rows(path) if Query(queries).matches(row)]
        if "count-only" in attributes:
            self.done(tag, [("ret", len(rows))])
            return
        if "from" in attributes:
            rows = [row for row in rows if attributes["from"] in (row.get(".id"), row.get("name"))]
        for row in rows:
            self.send("!re", [(name, row[name]) for name in (wanted.split(",") if wanted else row) if name in row], tag)
        if not rows and self.router.version >= (7, 18):
            self.send("!empty", tag=tag)
        self.done(tag)

    # --- scripts ----------------------------------------------------------------------------------

    def execute(self, attributes, tag):
        """Other commands of the session go on meanwhile."""
        try:
            self.check_parameters("/", "execute", attributes)
            self.commands.check_execute(attributes)
            self.commands.spend(self.commands.service_time_s, time.monotonic())
        except Trap as trap:
            self.trap(tag, trap.message, trap.category)
            return
        text = attributes.get("script", "")
        job = Job(self.commands, self.server.loop, self.policies)
        if "as-string" in attributes:
            self.jobs[tag] = job
            self.tasks[tag] = asyncio.ensure_future(self.answer(job, text, tag))
        else:
            self.server.beside(run_beside(self.server, job, text, attributes.get("file")))
            self.done(tag, [("ret", job.id)])

    async def answer(self, job, text, tag):
        try:
            self.done(tag, [("ret", await job.start(text))])
        except Rebooted:
            self.server.reboot()
        self.tasks.pop(tag, None)
        self.jobs.pop(tag, None)

    # --- listen and cancel ------------------------------------------------------------------------

    async def listen(self, path, attributes, queries, tag):
        changes = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def on_change(changed, item, is_gone):
            if changed == path and item is not None and path != self.server.untold:
                row = {".id": item.id, ".dead": "true" if self.router.version[0] == 7 else "yes"} if is_gone else \
                    next((row for row in self.router.rows(path) if row.get(".id") == item.id), None)
                if row is not None and (is_gone or Query(queries).matches(row)):
                    loop.call_soon_threadsafe(changes.put_nowait, row)

        self.router.listeners.append(on_change)
        wanted = attributes.get(".proplist")
        try:
            while True:
                row = await changes.get()
                names = wanted.split(",") + [".dead"] if wanted else row
                self.send("!re", [(name, row[name]) for name in names if name in row], tag)
                await self.writer.drain()
        finally:
            self.router.listeners.remove(on_change)

    def cancel(self, which, own_tag):
        task = self.tasks.pop(which, None)
        if which in self.jobs:
            self.jobs.pop(which).stop()
        if task is not None:
            task.cancel()
            self.send("!trap", [("category", 2), ("message", "interrupted")], which)
            self.done(which)
        self.done(own_tag)

    # --- safe mode --------------------------------------------------------------------------------

    def holds_safe_mode(self):
        """Whoever made the changes."""
        if self.safe is not None and self.router.config_writes - self.safe[1] > SAFE_ACTIONS:
            self.safe = None
        return self.safe is not None

    def safe_mode(self, verb, tag):
        if verb == "take":
            if any(other.holds_safe_mode() for other in self.server.sessions):
                self.trap(tag, "failure: safe mode is already taken")
                return
            self.safe = (self.router.save(), self.router.config_writes)
        elif not self.holds_safe_mode():
            self.trap(tag, "failure: safe mode is not taken")
            return
        else:
            state, _ = self.safe
            self.safe = None
            if verb == "unroll":
                self.router.restore(state)
        self.done(tag)


class Server:
    """Serves one router on any number of ports."""

    MAX_SESSIONS = 20

    def __init__(self, router, service_time_s=0.0, old_login=False):
        self.router = router
        self.commands = Commands(router)
        self.service_time_s = service_time_s
        self.old_login = old_login
        self.sessions = set()
        self.loop = None
        self.running = set()  # a task that nobody holds is lost
        self.commands_seen = 0
        self.untold = None
        self.is_tag_last = False

    def is_full(self, session):
        return session.user is None and sum(s.user is not None for s in self.sessions) >= self.MAX_SESSIONS

    async def on_client(self, reader, writer):
        session = Session(self, reader, writer)
        self.sessions.add(session)
        await session.serve()

    def beside(self, coroutine):
        task = asyncio.ensure_future(coroutine)
        self.running.add(task)
        task.add_done_callback(self.running.discard)

    def reboot(self):
        self.router.end_jobs()
        for session in list(self.sessions):
            session.safe = None
            session.writer.close()

    async def start(self, host, port, ssl=None):
        self.loop = asyncio.get_running_loop()
        return await asyncio.start_server(self.on_client, host, port, ssl=ssl)
