"""
Scripts that run beside everything else: /execute, and what the scheduler starts.

A job has a thread of its own, in which it waits; each of its commands is carried out on the loop's thread, where the router lives.
"""
import asyncio
import concurrent.futures
import threading

from .commands import Rebooted
from .errors import Trap
from .script import Ended, Interpreter
from .values import seconds


class Job:
    """An Interpreter takes it for Commands."""

    def __init__(self, commands, loop, policies=None):
        self.commands, self.loop, self.policies = commands, loop, policies
        self.stopped = threading.Event()
        self.id = commands.router.new_id()
        commands.router.jobs[self.id] = self

    def __getattr__(self, name):  # what only looks: prefixes, is_verb(), parameters()...
        return getattr(self.commands, name)

    @property
    def is_stopped(self):
        return self.stopped.is_set()

    def stop(self):
        self.stopped.set()

    def on_loop(self, function, *args):
        if self.is_stopped:
            raise Trap("interrupted", 2)
        answer = concurrent.futures.Future()

        def call():
            try:
                answer.set_result(function(*args))
            except BaseException as error:  # handed to the job's thread
                answer.set_exception(error)

        self.loop.call_soon_threadsafe(call)
        return answer.result()

    def run(self, *args):
        return self.on_loop(self.commands.run, *args)

    def rows(self, *args):
        return self.on_loop(self.commands.rows, *args)

    def export(self, *args):
        return self.on_loop(self.commands.export, *args)

    def log(self, *args):
        return self.on_loop(self.commands.log, *args)

    def wait(self, seconds):
        if self.stopped.wait(seconds):
            raise Trap("interrupted", 2)

    def execute(self, text):
        """What it printed; a failure is its last line."""
        interpreter = Interpreter(self.commands.router, self, self.policies)
        try:
            interpreter.run(text)
        except Ended:
            pass
        except Trap as trap:
            interpreter.put(trap.message)
        return "\r\n".join(interpreter.output)

    async def start(self, text):
        """execute(), without holding up the loop. Rebooted when that is what the script did."""
        thread = concurrent.futures.ThreadPoolExecutor(1)
        try:
            return await self.loop.run_in_executor(thread, self.execute, text)
        finally:
            self.stop()
            thread.shutdown(wait=False)
            self.commands.router.jobs.pop(self.id, None)


async def schedule(server):
    """Runs what /system/scheduler says: from the start of the router, or from when an entry was added, once in its interval."""
    router, due, started = server.router, {}, None
    while True:
        if router.started != started:  # it has booted
            started, due = router.started, {}
            due.update({item.id: started for item in router.items("/system/scheduler") if item["start-time"] == "startup"})
        for item in router.items("/system/scheduler"):
            interval_s = seconds(item["interval"])
            due.setdefault(item.id, router.clock() + interval_s if interval_s else float("inf"))
            if item["disabled"] == "yes" or due[item.id] > router.clock():
                continue
            due[item.id] = router.clock() + interval_s if interval_s else float("inf")
            server.beside(run_beside(server, Job(server.commands, server.loop), item["on-event"]))
        await asyncio.sleep(0.1)


async def run_beside(server, job, text, file=None):
    """A job that nobody waits for."""
    try:
        output = await job.start(text)
    except Rebooted:
        server.reboot()
        return
    if file:
        server.router.write_file(file + ".txt", output.encode("utf-8", "surrogateescape"))
