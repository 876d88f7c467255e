"""The published workloads are what they claim, and the simulated router takes every line of them."""
import pathlib

import pytest

from tests.rosim.commands import Commands
from tests.rosim.router import Router
from tests.workloads import s1, s2, s4_printed

HERE = pathlib.Path(__file__).parent


def run(personality, text, ethernets=10):
    router = Router(personality, ethernets)
    commands = Commands(router)
    assert commands.execute_text(text) == ""
    return router, commands


@pytest.mark.parametrize("personality", ("6.49", "7.16", "7.20"))
@pytest.mark.parametrize("index", range(len(s1.DEVICES)))
def test_s1(index, personality):
    lines = s1.script(index)
    assert len(lines) == s1.LINES and len(set(lines)) == s1.LINES
    router, commands = run(personality, "\n".join(lines), s1.DEVICES[index].ethernets)
    assert router.config_writes == s1.LINES  # every line changed something
    assert 47_000 <= len(commands.execute_text("/export")) <= 59_000


def test_s1_devices_are_those_of_the_paper():
    assert [device.address for device in s1.DEVICES[:5]] == [f"10.228.254.{n}/24" for n in range(11, 16)]
    assert [device.address for device in s1.DEVICES[5:]] == [
        "10.223.221.23/29", "10.224.221.22/29", "10.225.221.21/29", "10.226.221.20/29", "10.227.221.19/29"]


def test_s4():
    router, _ = run("6.49", (HERE / "s4.rsc").read_text(encoding="utf-8"))
    marks = {rule["new-routing-mark"] for rule in router.items("/ip/firewall/mangle") if "new-routing-mark" in rule}
    assert marks == {route["routing-mark"] for route in router.items("/ip/route") if "routing-mark" in route}


def test_s4_as_printed_has_its_slips():
    router, _ = run("6.49", s4_printed.script())
    assert any(route.get("routing-mark") == "to-ISPI" for route in router.items("/ip/route"))
    assert any(rule.get("dst-address") == "192.168.49.0/24" for rule in router.items("/ip/firewall/mangle"))


def test_s5():
    router, _ = run("6.49", (HERE / "s5.rsc").read_text(encoding="utf-8"))
    assert {peer["name"] for peer in router.items("/routing/bgp/peer")} == {"fibre", "tunnel"}


@pytest.mark.parametrize("number", (1, 2))
def test_s2(number):
    router, _ = run("6.49", s2.script(number))
    assert router.settings["/system/identity"]["name"] == f"RTR-{number}"
    assert router.items("/radius")[0]["service"] == "ppp,hotspot"
