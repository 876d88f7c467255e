"""What end-to-end and namespace tests share: a laboratory each, deadlines, and logs when one fails."""
import os
import signal
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("JAGA_PATIENCE", "4")  # of tests/lab/lab.py, for the programs that tests start as well

from tests.lab.lab import Lab, exit_on_sigterm  # noqa: E402
from tests.lab.programs import Agent, Cli, Collector, start_echo  # noqa: E402

TEST_DEADLINE_S = 300
LOG_TAIL_BYTES = 6000


def pytest_configure(config):
    exit_on_sigterm()
    config.addinivalue_line("markers", "deadline(seconds): how long this test may take, instead of 300 s")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    """No test waits for ever."""
    marker = item.get_closest_marker("deadline")
    seconds = marker.args[0] if marker else TEST_DEADLINE_S

    def on_alarm(_number, _frame):
        pytest.fail(f"not done within {seconds} s", pytrace=True)

    signal.signal(signal.SIGALRM, on_alarm)
    signal.alarm(seconds)
    yield
    signal.alarm(0)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """The programs' logs belong to the failure."""
    report = (yield).get_result()
    given = getattr(item, "funcargs", {})
    folder = getattr(given.get("lab"), "dir", None) or given.get("tmp_path")
    if call.when == "call" and report.failed and folder:
        for log in sorted(folder.glob("*.log")):
            text = log.read_text(errors="replace")
            if text:
                report.sections.append((log.name, text[-LOG_TAIL_BYTES:]))


@pytest.fixture
def lab():
    """A laboratory whose internet answers; gone after the test."""
    with Lab() as one:
        start_echo(one)
        yield one


@pytest.fixture
def agent(lab):
    """jaga-agent on the router, two uplinks, no collector."""
    return Agent(lab).start()


@pytest.fixture
def collector(lab):
    """jaga-collector beyond the internet."""
    return Collector(lab).start()


@pytest.fixture
def cli(collector):
    """The technician's command at that collector."""
    return Cli(collector)


@pytest.fixture
def reporting_agent(lab, cli):
    """jaga-agent that is enrolled with the collector, and online."""
    one = Agent(lab, collector=True)
    one.enroll(cli)
    one.start()
    cli.wait_online(one.name)
    return one
