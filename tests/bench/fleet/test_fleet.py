"""The fleet's instruments: a router that is as its script makes it is right, one that is not is told, and work is metered."""
import signal

import pytest

from tests.bench.fleet.__main__ import State, figures, measured, prove_backed_up, prove_configured
from tests.bench.fleet.contender import Result
from tests.bench.fleet.contenders import CONTENDERS
from tests.bench.fleet.lab import Device, Fleet, settings_of
from tests.bench.fleet.usage import Watch, watched
from tests.lab.lab import wait_until
from tests.workloads import s1

LINES = 12


@pytest.fixture(scope="module")
def fleet():
    with Fleet(2) as one:
        yield one


@pytest.fixture(scope="module")
def watch(fleet):
    return Watch(fleet)


def scripts_of(fleet):
    return {device.name: s1.script(device.index)[:LINES] for device in fleet.devices}


def test_exports_are_compared_however_folded():
    folded = "# nov/21/2026 by RouterOS\r\n/ip address\r\nadd address=10.0.0.1/24 \\\r\n    interface=ether1\r\n"
    assert settings_of(folded) == settings_of("\n/ip address\nadd address=10.0.0.1/24 interface=ether1\n")
    assert settings_of(folded) != settings_of("/ip address\nadd address=10.0.0.2/24 interface=ether1\n")


def test_what_a_script_makes():
    device = Device(0)
    assert not device.expected(s1.script(0)[:1]) == device.expected([])


def test_work_is_seen_compared_and_metered(fleet, watch):
    contender = CONTENDERS["paramiko10_nodelay"](fleet)
    scripts = scripts_of(fleet)
    results, row = measured(fleet, watch, contender, "configure", scripts)
    assert all(result.ok for result in results.values()) and row["said_ok"] == 2
    assert prove_configured(fleet, scripts) == {device.name: 0 for device in fleet.devices}
    # Each line is an exec of its own: three round trips of 20 ms, and the line's bytes, on both lines.
    assert row["s"] > LINES * 0.04 and row["bytes"] > 2 * sum(map(len, scripts[fleet.devices[0].name]))
    assert row["cpu_s"] > 0 and row["memory_kib"] > 5000 and row["rosim_cpu_s"] > 0
    results, row = measured(fleet, watch, contender, "backup")
    assert prove_backed_up(fleet, results) == 2
    results[fleet.devices[0].name].text += "add address=10.9.9.9/24 interface=ether1\n"
    assert prove_backed_up(fleet, results) == 1
    assert prove_backed_up(fleet, {device.name: Result(True) for device in fleet.devices}) == 0
    fleet.ask(fleet.devices[1], "/ip address add address=10.8.8.8/24 interface=ether1")
    assert prove_configured(fleet, scripts) == {fleet.devices[0].name: 0, fleet.devices[1].name: 1}


def test_who_waits_without_end_is_ended(fleet):
    program = fleet.routers[fleet.devices[0].name]
    program.popen.send_signal(signal.SIGSTOP)
    try:
        results = CONTENDERS["paramiko10_nodelay"](fleet, patience_s=10).backup()
    finally:
        program.popen.send_signal(signal.SIGCONT)
    assert [results[device.name].hung for device in fleet.devices] == [True, False]
    assert results[fleet.devices[1].name].ok and "within 10 s" in results[fleet.devices[0].name].error


def test_figures_have_all_that_was_asked_for(tmp_path):
    state = State(tmp_path / "state.jsonl", "nothing")
    seen = {"asked": 40, "lost": 1, "rtt_ms": 21.5, "rtt_max_ms": 30.0, "kbit_s": 12.5, "kbit_max_s": 50.0}
    work = {"s": 2.0, "bytes": 10, "cpu_s": 1.0, "memory_kib": 7, "rosim_cpu_s": 1.0, "rosim_share": 0.1, "machine_share": 0.2,
            "right": 10, "watch": {"CHR-1": seen}}
    for name in CONTENDERS:
        for scenario in ("clean", "loss"):
            state.add({"contender": name, "scenario": scenario, "routers": 10, "configure": work, "backup": work, "version": "1",
                       "unchanged": {"s": 0.5, "one_changed_s": 0.6, "found": True}})
        state.add({"contender": name, "scenario": "faults", "rejected_noticed": True, "rejected_line_named": False,
                   "cut_noticed": False, "cut_recovered": False})
    values = figures(state, list(CONTENDERS))
    for name in CONTENDERS:
        for what in ("s", "bytes", "cpu_s", "memory_kib", "rosim_share", "success"):
            assert {f"{prefix}{job}_{what}_{name}" for prefix in ("", "loss_") for job in ("configure", "backup")} <= set(values)
        assert values[f"icmp_loss_{name}_CHR-1"] == 0.025 and values[f"icmp_ms_{name}_CHR-1"] == 21.5
        assert values[f"throughput_kbit_{name}_CHR-1"] == 12.5 and values[f"version_{name}"] == "1"
        assert (values[f"rejected_noticed_{name}"], values[f"cut_recovered_{name}"]) == (1, 0)
    assert values["backup_unchanged_s_jaga"] == 0.5 and values["configure_ratio_best_other"] == 1.0


@pytest.mark.parametrize("name", ("paramiko10", "netmiko", "ansible"))
def test_contenders_do_the_work(name):
    with Fleet(2) as fleet:
        contender = CONTENDERS[name](fleet)
        contender.start()
        scripts = scripts_of(fleet)
        assert [result.error for result in contender.configure(scripts).values()] == [None, None]
        assert set(prove_configured(fleet, scripts).values()) == {0}
        assert prove_backed_up(fleet, contender.backup()) == 2
        assert any(character.isdigit() for character in contender.version())
        contender.stop()


def test_the_watch_sees_a_line_that_is_shut(fleet, watch):
    device = fleet.devices[0]
    well = watched(watch.read(), device)
    assert well["asked"] >= 1 and well["lost"] == 0 and 21 <= well["rtt_ms"] < 60
    fleet.at(device).ip("link", "set", "ether1", "down")
    try:
        watch.program.wait_log('"rtt_ms": null', 15)
    finally:
        fleet.at(device).ip("link", "set", "ether1", "up")
    assert watched(watch.read(), device)["lost"] >= 1


def test_a_script_that_cuts_the_line_is_seen():
    with Fleet(3, cut={5}) as fleet:
        cut = next(device for device in fleet.devices if device.index == 5)
        assert fleet.reachable(cut)
        fleet.ask(cut, "/ip firewall filter add chain=input action=drop in-interface=ether1")
        wait_until(lambda: not fleet.srv.ping(cut.host, timeout_s=1), 10, "its rules reach the kernel")
        assert not fleet.reachable(cut)
        assert "action=drop" in fleet.ask(cut, "/export")  # from inside it can still be asked
