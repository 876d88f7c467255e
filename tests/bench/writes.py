"""What an agent and its children write to flash, by a trace of strace: of day.py, which starts it, and tests/e2e/test_flash.py.

A file system on flash programs whole pages, and one for each name that is made, changed or removed; so each write counts rounded up to
pages, and each such name a page. That is no less than what lands there: two writes before one fsync may share a page, names of one
directory too. The file system's own journal and garbage collection are not in it.

    bytes, page_bytes, operations               of all that is below the folder
    journal_page_bytes, savepoint_page_bytes    of the journal (agent/job/journal.h) and of save points (save-*) alone
    journal_records                             how often the journal was replaced
"""
import collections
import os
import re

PAGE_BYTES = 4096  # of NAND; NOR flash has smaller ones
WRITING = ("write", "pwrite64", "writev", "pwritev", "copy_file_range", "sendfile")
NAMING = ("openat", "rename", "renameat", "renameat2", "unlink", "unlinkat", "rmdir", "mkdir", "mkdirat")
STRACE = ("strace", "-f", "--seccomp-bpf", "-qq", "-y", "-s", "0", "-e", "signal=none", "-e", "trace=" + ",".join(WRITING + NAMING))
CALL = re.compile(r"^(\w+)\((.*)\)\s+= (\d+)")  # that succeeded
BEGUN = re.compile(r"^(.*) <unfinished \.\.\.>$")
ENDED = re.compile(r"^<\.\.\. \w+ resumed>(.*)$")
DESCRIPTOR = re.compile(r"\b\d+<([^>]*)>")
NAME = re.compile(r'(?:(?:\d+|AT_FDCWD)<([^>]*)>, )?"([^"]*)"')


def read_calls(trace):
    """(name, arguments, result) of each call that succeeded; one that was interrupted in the trace is whole again."""
    begun = {}
    for line in trace.splitlines():
        pid, _, rest = line.partition(" ")
        rest = rest.lstrip()
        if match := BEGUN.match(rest):
            begun[pid] = match[1]
            continue
        if match := ENDED.match(rest):
            rest = begun.pop(pid, "") + match[1]
        if match := CALL.match(rest):
            yield match[1], match[2], int(match[3])


def written_path(name, arguments):
    """The file or name that the call changes, or None."""
    if name in WRITING:
        found = DESCRIPTOR.findall(arguments)
        return found[0 if name != "copy_file_range" else -1] if found else None
    if name == "openat" and "O_CREAT" not in arguments:
        return None
    found = NAME.findall(arguments)  # of a rename the new one
    return os.path.join(found[-1][0] or "/", found[-1][1]) if found else None


def read_writes(trace, folder):
    """What the text of a trace shows below the folder."""
    total = collections.Counter()
    for name, arguments, result in read_calls(trace):
        path = written_path(name, arguments)
        if not path or not path.startswith(f"{folder}/"):
            continue
        first = path[len(f"{folder}/"):].split("/")[0]
        count = result if name in WRITING else 0
        page_bytes = max(1, -(-count // PAGE_BYTES)) * PAGE_BYTES
        total.update(bytes=count, page_bytes=page_bytes, operations=1)
        if first in ("journal", "journal.new"):
            total.update(journal_page_bytes=page_bytes, journal_records=first == "journal" and name.startswith("rename"))
        elif first.startswith("save-"):
            total.update(savepoint_page_bytes=page_bytes)
    return total
