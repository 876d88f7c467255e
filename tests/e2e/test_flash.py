"""What a pushed script costs the flash, as docs/footprint.md states it: the bench's own count (tests/bench/writes.py) of a real agent."""
import json
import os
import signal

from tests.bench.writes import PAGE_BYTES, STRACE, read_writes
from tests.lab.lab import wait_until
from tests.lab.programs import Agent

RECORDS = {"--no-confirm": 2, "--confirm=90": 4}  # agent/job/journal.h

TRACE = '''\
7  openat(AT_FDCWD</>, "/s/save-1.new/list", O_WRONLY|O_CREAT|O_TRUNC, 0666) = 4</s/save-1.new/list>
7  write(4</s/save-1.new/list>, ""..., 5000 <unfinished ...>
8  openat(5</s>, "journal.new", O_WRONLY|O_CREAT|O_TRUNC|O_CLOEXEC, 0600) = 6</s/journal.new>
8  write(6</s/journal.new>, ""..., 160) = 160
7  <... write resumed>)              = 5000
8  renameat(5</s>, "journal.new", 5</s>, "journal") = 0
8  unlinkat(AT_FDCWD</>, "/s/save-*", 0) = -1 ENOENT (No such file or directory)
8  openat(AT_FDCWD</>, "/s/journal", O_RDONLY|O_CLOEXEC) = 6</s/journal>
8  write(1</somewhere/else>, ""..., 10) = 10
8  unlinkat(5</s/save-1>, "list", 0) = 0
'''


def test_a_trace_is_read_in_full():
    assert read_writes(TRACE, "/s") == {
        "bytes": 5160, "operations": 6, "page_bytes": 7 * PAGE_BYTES, "journal_records": 1, "journal_page_bytes": 3 * PAGE_BYTES,
        "savepoint_page_bytes": 4 * PAGE_BYTES}
    assert not read_writes(TRACE, "/other")


def test_what_a_script_writes(lab, cli, tmp_path):
    trace, script = lab.dir / "writes", tmp_path / "job.sh"
    script.write_text("echo done\n")
    agent = Agent(lab, collector=True, agent_lines="scripts = unsigned")
    agent.enroll(cli)
    # Leaks are looked for by ptrace, which strace has taken.
    sanitizer = ("env", "ASAN_OPTIONS=detect_leaks=0:exitcode=99") if "ASAN_OPTIONS" in os.environ else ()
    agent.program = lab.rtr.start(agent.name, *STRACE, "-o", trace, *sanitizer, *agent.argv())
    cli.wait_online(agent.name)
    wait_until(lambda: cli.rows("snapshots", agent.name), 30, "the first snapshot is stored")

    def written():
        return read_writes(trace.read_text(errors="replace"), agent.state)

    before = written()
    lab.cut("i")  # and a fail-over costs it nothing
    agent.wait_state(1, "down", 10)
    cli.run("snapshots", agent.name, "--take")
    assert written() == before
    for option, records in RECORDS.items():
        cli.run("push", agent.name, script, "--wait", option)
        wait_until(lambda: (written() - before)["journal_records"] >= records, 10, "the journal knows how it ended")
        cost = written() - before
        print(option, json.dumps(cost))
        assert cost["journal_records"] == records
        # Made, written, renamed; what it has said is a write of its own.
        assert 3 * records <= cost["journal_page_bytes"] / PAGE_BYTES <= 4 * records
        assert (cost["savepoint_page_bytes"] > 0) is (records == 4)
        assert cost["page_bytes"] == cost["journal_page_bytes"] + cost["savepoint_page_bytes"]
        before = written()
    os.kill(int((agent.state / "agent.pid").read_text()), signal.SIGTERM)  # not strace, which would keep it
    assert agent.program.wait() == 0
