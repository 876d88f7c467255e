#!/usr/bin/env python3
"""Fails when an include crosses a boundary of ARCHITECTURE.md, a header does not compile alone,
or a limit is invented outside common/limits.h.

    tests/check_boundaries.py BUILD_DIR      prints what is wrong and "N passed, N failed"
    tests/check_boundaries.py --self-test    proves that each rule can fail
"""
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

FOLDERS = ("agent", "collector", "common")
SOCKET_HEADERS = ("sys/socket.h", "sys/ioctl.h", "sys/epoll.h", "fcntl.h", "ev.h", "unistd.h", "sys/wait.h")

# Files that may include what matches the first expression (on the included name).
ONLY_IN = (
    (r"^coap3/", r"^(agent/link\w*|collector/coap\w*|common/coap_\w+)\.[ch]$"),
    (r"^lmdb\.h$", r"^collector/store_lmdb\w*\.[ch]$"),
    (r"^jaga\.pb-c\.h$", r"^common/wire\.h$"),
    (r"^common/wire\.h$", r"^(common/wire\.c|agent/(link\w*|remote_doctor|report\w*|spool)\.[ch]|collector/\w+\.[ch])$"),
    (r"^mbedtls/", r"^((agent|collector|common)/\w+|agent/router/ros_\w+)\.c$"),
    (r"^(libsmartcols|git2|jansson)", r"^collector/(cli/)?\w+\.[ch]$"),
    (r"^linux/(netlink|rtnetlink|netfilter|fib_rules|if_link)", r"^agent/(router|probe)/\w+\.[ch]$"),
)
# Files that do no I/O and read no clock.
PURE = (r"^agent/uplink/\w+\.[ch]$", r"^agent/spool\.[ch]$", r"^common/(parse|wire|buf|block|err)\.[ch]$",
        r"^agent/router/(netlink|ros_codec|ros_row|ros_scan|ros_script)\.[ch]$")
PURE_DENIED = SOCKET_HEADERS + ("time.h", "sys/time.h", "common/clock.h", "stdio.h")
PURE_ALLOWED = {("common/parse.h", "sys/socket.h"), ("common/parse.c", "sys/socket.h"),
                ("common/buf.c", "stdio.h"), ("common/err.c", "stdio.h")}
NO_FLOAT = r"^agent/.*\.[ch]$"
FLOAT = re.compile(r"\b(float|double)\b")
FLOAT_BORDER = re.compile(r"ev_tstamp|ev_timer|ev_periodic")
LIMIT = re.compile(r"^\s*#\s*define\s+(LIMIT_\w+)")


def strip_comments(text):
    text = re.sub(r"/\*.*?\*/", lambda m: "\n" * m.group().count("\n"), text, flags=re.S)
    return re.sub(r"//[^\n]*", "", text)


def crossings(path, text):
    """Yields one line for each rule that this file breaks."""
    code = strip_comments(text)
    part = path.split("/")[0]
    for number, line in enumerate(code.split("\n"), 1):
        where = f"{path}:{number}"
        limit = LIMIT.match(line)
        if limit and path != "common/limits.h":
            yield f"{where}: {limit.group(1)} is defined outside common/limits.h"
        if re.match(NO_FLOAT, path) and FLOAT.search(line) and not FLOAT_BORDER.search(line):
            yield f"{where}: floating point in the agent"
        include = re.match(r'\s*#\s*include\s+[<"]([^>"]+)[>"]', line)
        if not include:
            continue
        name = include.group(1)
        other = name.split("/")[0]
        if other in FOLDERS and other not in (part, "common"):
            yield f"{where}: {part} includes {name}"
        if part == "common" and other in ("agent", "collector"):
            yield f"{where}: common includes {name}"
        if path.startswith("collector/cli/") and name.startswith("collector/") and not name.startswith("collector/cli/"):
            yield f"{where}: the command includes {name} of the daemon"
        if path.startswith("collector/") and not path.startswith("collector/cli/") and name.startswith("collector/cli/"):
            yield f"{where}: the daemon includes {name} of the command"
        for what, allowed in ONLY_IN:
            if re.search(what, name) and not re.match(allowed, path):
                yield f"{where}: {name} is not for this file"
        if any(re.match(pure, path) for pure in PURE):
            if name in PURE_DENIED and (path, name) not in PURE_ALLOWED:
                yield f"{where}: a pure module includes {name}"
            if re.match(r"agent/(?!uplink/|spool)", name) and path.startswith("agent/uplink/"):
                yield f"{where}: the engine includes {name}"


def compile_alone(header, build):
    part = "agent" if header.startswith("agent/") else "collector"
    command = ["cc", "-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-fsyntax-only",
               "-I.", "-isystem", f"{build}/gen", "-isystem", f"build/deps/{part}/include", "-x", "c", "-"]
    result = subprocess.run(command, input=f'#include "{header}"\n#include "{header}"\n', text=True,
                            capture_output=True, check=False)
    return None if result.returncode == 0 else f"{header}: does not compile alone\n{result.stderr[:600]}"


SELF_TEST = (
    ("agent/x.c", '#include "collector/coap.h"\n'),
    ("common/x.c", '#include "agent/config.h"\n'),
    ("collector/store.c", "#include <lmdb.h>\n"),
    ("agent/agent.c", "#include <coap3/coap.h>\n"),
    ("agent/uplink/engine.c", "#include <sys/socket.h>\n"),
    ("agent/uplink/engine.c", '#include "agent/config.h"\n'),
    ("agent/snapshot.c", '#include "jaga.pb-c.h"\n'),
    ("agent/config.c", "double x;\n"),
    ("collector/ctl.c", "#define LIMIT_X 3\n"),
    ("collector/cli/main.c", '#include "collector/ctl.h"\n'),
    ("collector/ctl.c", '#include "collector/cli/render.h"\n'),
    ("agent/agent.c", "#include <linux/rtnetlink.h>\n"),
)


def self_test():
    blind = [case for case in SELF_TEST if not list(crossings(*case))]
    clean = list(crossings("agent/uplink/engine.c", '/* #include <lmdb.h> double */\n#include "common/limits.h"\n'))
    for path, text in blind:
        print(f"the rules do not see: {path}: {text.strip()}")
    for line in clean:
        print(f"the rules see what is not there: {line}")
    print(f"{len(SELF_TEST) + 1 - len(blind) - len(clean)} passed, {len(blind) + len(clean)} failed")
    return 1 if blind or clean else 0


def main():
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    build = sys.argv[1]
    files = sorted(os.path.relpath(os.path.join(root, name))
                   for folder in FOLDERS for root, _, names in os.walk(folder) for name in names
                   if name.endswith((".c", ".h")))
    broken = []
    for path in files:
        with open(path, encoding="utf-8") as stream:
            broken.extend(crossings(path, stream.read()))
    with ThreadPoolExecutor(2) as pool:
        headers = [path for path in files if path.endswith(".h")]
        broken.extend(line for line in pool.map(lambda h: compile_alone(h, build), headers) if line)
    for line in broken:
        print(line)
    print(f"{len(files) + len(headers) - min(len(broken), len(files))} passed, {len(broken)} failed")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
