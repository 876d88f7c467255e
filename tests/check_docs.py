#!/usr/bin/env python3
"""Fails when the programs' --help, their man pages and the completion do not say the same.

    tests/check_docs.py BUILD_DIR       prints what is wrong and "N passed, N failed"

--help is what the program does, since jaga makes it from its table; so each command and option that
it prints must stand in the man page and in the completion, and nothing else may.
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")


def help_of(program, *arguments):
    ran = subprocess.run([str(program), *arguments, "--help"], capture_output=True, text=True, timeout=20)
    if ran.returncode != 0 or ran.stderr:
        raise AssertionError(f"{program} {' '.join(arguments)} --help: exit {ran.returncode}, {ran.stderr}")
    return ran.stdout


def section(text, title):
    """The lines under "title:" up to the next empty line."""
    found = re.search(rf"^{title}:\n(.*?)(?:\n\n|\Z)", text, re.M | re.S)
    return found.group(1) if found else ""


def help_options(text):
    return {m.group(1) for m in re.finditer(r"^ +(?:-\w, )?(--[a-z-]+)", section(text, "Options"), re.M)}


def help_letters(text):
    return {m.group(1) for m in re.finditer(r"^ +(-\w), --", section(text, "Options"), re.M)}


def help_commands(text):
    return [line.split()[0] for line in section(text, "Commands").split("\n")]


def man_source(page):
    return (ROOT / "docs" / "man" / page).read_text()


def mdoc_options(line):
    """("-f", "--follow") of "Fl f | Fl Fl follow"."""
    return {"--" + name for name in re.findall(r"Fl Fl ([a-z-]+)", line)} | \
           {"-" + name for name in re.findall(r"(?<!Fl )Fl ([A-Za-z])\b", line)}


def man_commands(source):
    """{"events": {"-f", "--follow", ...}} of the ".It Cm" lines."""
    return {line.split()[2]: mdoc_options(line) for line in source.split("\n") if line.startswith(".It Cm ")}


def man_common(source):
    """Options of ".It Fl" lines."""
    return set().union(*(mdoc_options(line) for line in source.split("\n") if line.startswith(".It Fl ")))


def help_statuses(text):
    """{"0", "1", ...} of "Exit status:" in columns, or of "exit status: 0 done, 1 failed"."""
    columns = section(text, "Exit status")
    line = re.search(r"^exit status: (.*)$", text, re.M)
    return set(re.findall(r"(?:^|  )\s*(\d+)  \S", columns, re.M)) if columns else \
        set(re.findall(r"(?:^|, )(\d+) ", line.group(1) if line else ""))


def man_statuses(source):
    """Numbers of the ".It N" lines under EXIT STATUS."""
    found = re.search(r"^\.Sh EXIT STATUS\n(.*?)(?=^\.Sh )", source, re.M | re.S)
    return set(re.findall(r"^\.It (\d+)$", found.group(1), re.M)) if found else set()


def completion():
    """(common options, {command: options}) as bash sees them."""
    script = 'source "$1"; echo "$_jaga_common"; for c in "${!_jaga_options[@]}"; do echo "$c ${_jaga_options[$c]}"; done'
    ran = subprocess.run(["bash", "-c", script, "-", str(ROOT / "docs/completion/jaga.bash")], capture_output=True,
                         text=True, timeout=20, check=True)
    common, *commands = ran.stdout.strip().split("\n")
    return set(common.split()), {words[0]: set(words[1:]) for words in (line.split() for line in commands)}


def same(what, ours, theirs, where):
    if ours != theirs:
        yield f"{what}: --help has {sorted(ours - theirs)} that {where} lacks; {where} has {sorted(theirs - ours)} more"


def check_jaga(build):
    program = build / "jaga"
    overview = help_of(program)
    man = man_source("jaga.1")
    documented = man_commands(man)
    common = {m.group(1) for m in re.finditer(r"(--[a-z-]+)", section(overview, "Options of every command"))
              if m.group(1) != "--follow"}
    completed_common, completed = completion()
    commands = help_commands(overview)
    yield list(same("exit statuses", help_statuses(overview), man_statuses(man), "jaga.1"))
    yield list(same("common options", common, {o for o in man_common(man) if o.startswith("--")}, "jaga.1"))
    yield list(same("common options", common, completed_common, "the completion"))
    yield list(same("commands", set(commands), set(documented), "jaga.1"))
    yield list(same("commands", set(commands), set(completed), "the completion"))
    for command in commands:
        text = help_of(program, command)
        own = help_options(text) - common
        letters = help_letters(text) - {"-h", "-V"}
        yield list(same(f"options of {command}", own | letters, documented.get(command, set()), "jaga.1"))
        yield list(same(f"options of {command}", own, completed.get(command, set()), "the completion"))
        yield list(same(f"exit statuses of {command}", help_statuses(text), man_statuses(man), "jaga.1"))
        yield [] if "Example:" in text else [f"{command} --help has no example"]
        usage = re.search(r"^Usage: jaga (\S+)(.*) \[OPTION\]...$", text, re.M)
        yield [] if usage and usage.group(1) == command else [f"{command} --help has no usage line"]


def check_daemon(build, name):
    """The daemons' usage texts are short: every option, command and exit status in it and in the .It lines of the man page."""
    text, source = help_of(build / name), man_source(f"{name}.8")
    documented = man_common(source) | set().union(*man_commands(source).values())
    yield list(same(f"options of {name}", set(OPTION.findall(text)), {o for o in documented if o.startswith("--")}, f"{name}.8"))
    printed = set(re.findall(r"^  ([a-z]+) ", text, re.M))
    sections = re.search(r"^\.Ss Commands\n(.*?)(?=^\.S[sh] )", source, re.M | re.S)
    yield list(same(f"commands of {name}", printed, set(man_commands(sections.group(1))) if sections else set(), f"{name}.8"))
    if "exit status: " in text:
        yield list(same(f"exit statuses of {name}", help_statuses(text), man_statuses(source), f"{name}.8"))


def check_mentions(build):
    """Commands in `jaga ...` examples of texts for people exist."""
    commands = set(help_commands(help_of(build / "jaga"))) | {"help", "COMMAND", "NAME"}
    for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("docs/*.example")]):
        wrong = [word for word in re.findall(r"(?:`|^ *\$? ?|&& )jaga ([a-z]\S*?)[`\s]", path.read_text(), re.M)
                 if word not in commands]
        yield [f"{path.relative_to(ROOT)}: there is no `jaga {word}`" for word in wrong]


def findings(build):
    yield from check_jaga(build)
    for name in ("jaga-agent", "jaga-collector"):
        yield from check_daemon(build, name)
    yield from check_mentions(build)


def main():
    results = list(findings(pathlib.Path(sys.argv[1]).resolve()))
    for problems in results:
        for problem in problems:
            print(problem)
    failed = sum(1 for problems in results if problems)
    print(f"{len(results) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
