"""The routers' agents are what the table of docs/toolchain.md says, and have what it says of all six.

Read from the files themselves: readelf for the structure, objdump for the instructions. The control of the search for
floating-point instructions is a program that has some: the search finds them, and a processor without FPU refuses it.
"""
import re
import signal
import subprocess

import pytest

from tests.toolchain.routers import ROOT, TARGETS, built, run, setting

COLUMNS = ("file", "floating point", "code address", "pointers in tables")
# Mnemonics of the FPU: formats and coprocessor 1 on MIPS; VFP's all begin with v, and coprocessors 10 and 11 are it.
FLOAT_INSTRUCTION = {
    "mips": re.compile(r"^(\w+\.(s|d|ps)(\.\w+)?|\w+\.(s|d|w|l)\.(s|d|w|l)|[ls][wd]x?c1|d?m[tf]h?c1|c[tf]c1|bc1\w+)$"),
    "arm": re.compile(r"^(v\w+(\.\w+)*|f(ld|st|cpy|add|mul|div|sub|cmp|to|sito|uito)\w*|(mrc|mcr|mrrc|mcrr|ldc|stc|cdp)2?l? 1[01])$"),
}
HARD_FLOAT = """
void _exit_with(int);
volatile double x = 3.0;
void __start(void)
{
	x = x * 2.0 + 1.0;
#ifdef __mips__
	register int number __asm__("$2") = 4001, status __asm__("$4") = x == 7.0 ? 0 : 1;
	__asm__ volatile("syscall" : : "r"(number), "r"(status));
#else
	register int number __asm__("r7") = 1, status __asm__("r0") = x == 7.0 ? 0 : 1;
	__asm__ volatile("svc 0" : : "r"(number), "r"(status));
#endif
	for (;;)
		;
}
"""


def output(*argv):
    return subprocess.run([str(word) for word in argv], capture_output=True, text=True, check=True).stdout


def documented():
    """{target: {column: value}} of docs/toolchain.md."""
    text = (ROOT / "docs" / "toolchain.md").read_text(encoding="utf-8")
    table = text.split("| " + " | ".join(("target", *COLUMNS)) + " |\n")[1].split("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[1:]]
    return {row[0]: dict(zip(COLUMNS, row[1:])) for row in rows}


def segments(path):
    """[(type, flags)] of the program headers; flags like 'R E'."""
    found = re.findall(r"^  ([A-Z_]+) +(?:0x\w+ +){5}([R ][W ][E ])", output("readelf", "-lW", path), re.M)
    assert found
    return found


def float_instructions(path, tools, family):
    """Instructions of an FPU that objdump finds in a file with symbols (they tell code from data and MIPS16)."""
    found = []
    for line in output(f"{tools}objdump", "-d", "--no-show-raw-insn", path).splitlines():
        parts = line.split("\t")
        if len(parts) < 2 or not re.match(r" *[0-9a-f]+:$", parts[0]):
            continue
        words = " ".join(parts[1:]).replace(",", " ").split()
        name = words[0] if words[0][:2] not in ("mr", "mc", "ld", "st", "cd") or len(words) < 2 else " ".join(words[:2])
        if FLOAT_INSTRUCTION[family].match(name) or FLOAT_INSTRUCTION[family].match(words[0]):
            found.append(line.strip())
    return found


def family_of(target):
    return "mips" if target.startswith("mips") else "arm"


def observe(target):
    path = built(target, "jaga-agent")
    header = output("readelf", "-hW", path)
    field = {name: re.search(rf"^ +{name}: +(.*)$", header, re.M)[1] for name in ("Class", "Data", "Machine", "Type")}
    machine = {"MIPS R3000": "MIPS", "ARM": "ARM", "AArch64": "AArch64", "Advanced Micro Devices X86-64": "X86-64"}
    order = "MSB" if "big endian" in field["Data"] else "LSB"
    if target in ("arm64", "x86_64"):
        floating = "hard"
    else:
        abi = output("readelf", "-A", path)
        soft = "Tag_GNU_MIPS_ABI_FP: Soft float" in abi if family_of(target) == "mips" else \
            not re.search("Tag_FP_arch|Tag_ABI_VFP_args", abi)
        floating = "soft" if soft else "hard"
    types = {kind for kind, _ in segments(path)}
    return {
        "file": f"{field['Class']} {order} {machine[field['Machine']]}",
        "floating point": floating,
        "code address": {"EXEC": "fixed", "DYN": "static-pie"}[field["Type"].split()[0]],
        "pointers in tables": "RELRO" if "GNU_RELRO" in types else ".rodata",
    }


def test_the_table_names_every_target():
    assert tuple(documented()) == TARGETS


@pytest.mark.parametrize("target", TARGETS)
def test_the_file_is_what_the_table_says(target):
    assert observe(target) == documented()[target]


@pytest.mark.parametrize("target", TARGETS)
def test_static_and_nothing_writable_is_executable(target):
    path = built(target, "jaga-agent")
    found = segments(path)
    assert "INTERP" not in {kind for kind, _ in found}
    dynamic = output("readelf", "-dW", path)
    assert "NEEDED" not in dynamic and "TEXTREL" not in dynamic
    assert [flags for kind, flags in found if "W" in flags and "E" in flags] == []
    assert [flags for kind, flags in found if kind == "GNU_STACK"] == ["RW "]


@pytest.mark.parametrize("target", TARGETS)
def test_stripped_with_its_symbols_beside(target):
    stripped, debug = built(target, "jaga-agent"), built(target, "jaga-agent.debug")
    notes = [re.search(r"Build ID: (\w+)", output("readelf", "-nW", path)) for path in (stripped, debug)]
    assert all(notes) and notes[0][1] == notes[1][1]
    assert ".symtab" not in output("readelf", "-SW", stripped)
    symbols = output("readelf", "-sW", debug)
    # A weak __init_ssp alone would leave the canary zero.
    assert re.search(r"FUNC +GLOBAL +\w+ +\d+ __stack_chk_fail$", symbols, re.M)
    assert re.search(r"FUNC +(GLOBAL|LOCAL) +\w+ +\d+ __init_ssp$", symbols, re.M)
    assert ("protect_relro" in symbols) == (documented()[target]["pointers in tables"] == "RELRO")


@pytest.mark.parametrize("target", TARGETS)
def test_no_folder_of_the_building_machine(target):
    path = rb"(?<![a-z0-9_.-])" + re.escape(f"{ROOT}/").encode()  # a clone in /jaga is not the end of /etc/jaga/
    for name in ("jaga-agent", "jaga-agent.debug"):
        found = re.search(path + rb"[^\0]*", built(target, name).read_bytes())
        assert not found, found[0]


@pytest.mark.parametrize("target", [name for name in TARGETS if setting(name, "TARGET_FLOAT") == "soft"])
def test_soft_float_has_no_instruction_of_an_fpu(target):
    assert float_instructions(built(target, "jaga-agent.debug"), setting(target, "TARGET_TOOLS"), family_of(target)) == []


@pytest.mark.parametrize("target, tools, flags, without, with_fpu", [
    ("mips", "mips-linux-gnu-", "-EB -march=24kf -mhard-float -mno-abicalls -G0", "qemu-mips-static -cpu 24Kc", "qemu-mips-static -cpu 24Kf"),
    ("mipsel", "mipsel-linux-gnu-", "-EL -march=24kf -mhard-float -mno-abicalls -G0", "qemu-mipsel-static -cpu 24Kc", "qemu-mipsel-static -cpu 24Kf"),
    ("armv5", "arm-linux-gnueabihf-", "-marm -march=armv5te+fp -mfloat-abi=hard", "qemu-arm-static -cpu arm946", "qemu-arm-static -cpu arm926"),
])
def test_hard_float_is_found_and_refused(target, tools, flags, without, with_fpu, tmp_path):
    source, program = tmp_path / "hard.c", tmp_path / "hard"
    source.write_text(HARD_FLOAT, encoding="utf-8")
    output(f"{tools}gcc", *flags.split(), "-O1", "-fno-pic", "-no-pie", "-static", "-nostdlib", "-ffreestanding",
           "-fno-stack-protector", "-Wl,-e,__start", "-o", program, source)
    assert float_instructions(program, tools, family_of(target))
    assert subprocess.run([*with_fpu.split(), str(program)], check=False, timeout=60).returncode == 0
    assert subprocess.run([*without.split(), str(program)], check=False, timeout=60,
                          stderr=subprocess.DEVNULL).returncode == -signal.SIGILL
    assert setting(target, "TARGET_QEMU") == without


@pytest.mark.parametrize("target", TARGETS)
def test_the_drivers_that_it_holds(target, tmp_path):
    """A program without the driver that is asked for says so, and what to take instead; one with it asks the router."""
    conf = tmp_path / "agent.conf"
    conf.write_text("[router]\ndriver = routeros\naddress = 127.0.0.1:1\nuser = jaga\n[lan]\ninterfaces = ether3\n"
                    "[uplink isp1]\ninterface = ether1\nsource = 192.0.2.1\ntargets = 198.51.100.1\n")
    done = run(target, built(target, "jaga-agent"), "--config", conf, "--check")
    if setting(target, "TARGET_DRIVERS") == "linux":
        assert done.returncode == 2 and "[router] driver: this program steers only the router that it runs on" in done.stderr
    else:
        assert done.returncode == 1 and "router 127.0.0.1:1: connect: Connection refused" in done.stderr
