"""What the tests of the packaged agents on emulated routers share: a laboratory each, logs of a failure, and the figures."""
import collections
import json

import pytest

from tests.guest.guest import ARCHES, ROOT
from tests.guest.lab import GuestAgent, GuestLab
from tests.lab.lab import wait_until
from tests.lab.programs import Cli, Collector, start_echo

FIGURES = collections.defaultdict(dict)  # {what was measured: {arch: value}}
RESULT = ROOT / "build/bench/firmware.json"
ONLINE_S = 60


@pytest.hookimpl(hookwrapper=True, trylast=True)
def pytest_runtest_makereport(item, call):
    """Before tests/conftest.py looks for logs, the guest's are fetched."""
    report = (yield).get_result()
    lab = getattr(item, "funcargs", {}).get("lab")
    if call.when == "call" and report.failed and lab:
        lab.keep_logs()


@pytest.fixture(params=ARCHES)
def arch(request):
    return request.param


@pytest.fixture
def measure(arch):
    """measure("what", value): a line of the table at the end."""
    def note(what, value):
        FIGURES[what][arch] = value
    return note


@pytest.fixture
def lab_options():
    """Options of GuestLab; a test module or class replaces it."""
    return {}


@pytest.fixture
def lab(arch, lab_options):
    """A laboratory with an emulated router, whose internet answers; gone after the test."""
    with GuestLab(arch, **lab_options) as one:
        start_echo(one)
        for number in (1, 2):
            wait_until(lambda n=number: one.reach(n) == (True, True, True), ONLINE_S, f"uplink {number} works")
        yield one


@pytest.fixture
def reporting_agent(lab):
    """The agent, enrolled with a native collector and online there."""
    cli = Cli(Collector(lab).start())
    one = GuestAgent(lab, collector=True, agent_lines="scripts = unsigned")
    one.cli = cli
    one.enroll(cli)
    one.start()
    cli.wait_online(one.name, timeout_s=ONLINE_S)
    for number in (1, 2):
        one.wait_state(number, "up", ONLINE_S)
    return one


def pytest_terminal_summary(terminalreporter):
    """The table, and the same as JSON beside the other benchmarks."""
    if not FIGURES:
        return
    width = max(map(len, FIGURES))
    terminalreporter.section("figures")
    terminalreporter.write_line(f"{'':{width}}" + "".join(f"{arch:>12}" for arch in ARCHES))
    for what, by_arch in FIGURES.items():
        terminalreporter.write_line(f"{what:{width}}" + "".join(f"{by_arch.get(arch, '-'):>12}" for arch in ARCHES))
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(FIGURES, indent=1) + "\n")
