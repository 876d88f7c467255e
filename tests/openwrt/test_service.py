"""The init script and the first proposal, on a router of stand-ins: what procd is told, and when nothing is started."""
import subprocess

import pytest

from tests.lab.programs import build_dir
from tests.openwrt.build import OPENWRT, STANDIN, make_packages
from tests.openwrt.router import FIREWALL, NETWORK, Apk, Opkg, Router

GOOD = """
config agent 'agent'
	option enabled '1'
config lan
	list interfaces 'br-lan'
config uplink 'wan'
	option interface 'eth0'
	list targets '192.0.2.1'
"""


@pytest.fixture(name="packages", scope="module")
def fixture_packages(tmp_path_factory):
    return make_packages(tmp_path_factory.mktemp("packages"), STANDIN / "jaga-agent")


@pytest.fixture(name="router", params=["ipk", "apk"])
def fixture_router(request, tmp_path, packages):
    """A router on which the package is installed."""
    router = Router(tmp_path / "root")
    manager = {"ipk": Opkg, "apk": Apk}[request.param](router)
    manager.install(packages[request.param == "apk"])
    router.manager = manager
    return router


def told(router):
    return router.lines("tmp/procd.told")


# --- what is started ---------------------------------------------------------------------------------------------

def test_starts_what_is_enabled_and_right(router):
    router.write("etc/config/jaga", GOOD)
    router.service("start")
    assert told(router) == [
        "open_service jaga",
        "open_instance",
        "set_param command /usr/sbin/jaga-agent --config /etc/config/jaga",
        "set_param file /etc/config/jaga /usr/sbin/jaga-agent /etc/capabilities/jaga.json",
        "set_param respawn 3600 5 0",
        "set_param nice -10",
        "set_param stdout 1",
        "set_param stderr 1",
        "add_jail jaga",
        "set_param capabilities /etc/capabilities/jaga.json",
        "close_instance",
        "add_reload_trigger jaga network firewall mwan3",
        "add_raw_trigger interface.* 2000 /etc/init.d/jaga reload",
        "close_service",
    ]
    assert router.lines("tmp/agent.called") == ["--config /etc/config/jaga --check"]
    assert router.lines("tmp/procd.did") == ["start"]


def test_no_jail_where_scripts_run(router):
    router.write("etc/config/jaga", GOOD.replace("enabled '1'", "enabled '1'\n\toption scripts 'unsigned'"))
    router.service("start")
    assert "open_instance" in told(router)
    assert not [line for line in told(router) if "jail" in line or "set_param capabilities" in line]


@pytest.mark.parametrize("text", ["", GOOD.replace("'1'", "'0'"), GOOD.replace("'1'", "'off'"), None])
def test_starts_nothing_that_is_not_enabled(router, text):
    if text is None:
        (router.root / "etc/config/jaga").unlink()
    else:
        router.write("etc/config/jaga", text)
    (router.root / "tmp/log").unlink()
    assert router.service("start").returncode == 0
    assert "open_instance" not in told(router)
    assert "add_reload_trigger jaga network firewall mwan3" in told(router)  # uci commit may enable it
    assert router.lines("tmp/log") == ["-t jaga -p daemon.notice not enabled in /etc/config/jaga: uci set "
                                       "jaga.agent.enabled=1; uci commit jaga; service jaga start"]
    assert router.read("tmp/agent.called") == ""


@pytest.mark.parametrize("section", ["config agent\n", "config agent 'main'\n"])
def test_the_section_of_the_agent_may_have_any_name(router, section):
    router.write("etc/config/jaga", GOOD.replace("config agent 'agent'\n", section).replace("'1'", "'0'"))
    router.service("start")
    assert "open_instance" not in told(router)
    router.write("etc/config/jaga", GOOD.replace("config agent 'agent'\n", section))
    router.service("start")
    assert "open_instance" in told(router)


def test_a_wrong_configuration_is_not_started_and_told(router):
    router.write("etc/config/jaga", GOOD)
    router.write("tmp/check.status", "2")
    router.write("tmp/check.text", "/etc/config/jaga:3: [agent] enabled: 'x'\n\n/etc/config/jaga:9: and more\n")
    (router.root / "tmp/log").unlink()
    assert router.service("start", check=False).returncode == 1
    assert "open_instance" not in told(router)
    assert router.lines("tmp/log") == [
        "-t jaga -p daemon.err /etc/config/jaga:3: [agent] enabled: 'x'",
        "-t jaga -p daemon.err /etc/config/jaga:9: and more",
        "-t jaga -p daemon.err not started; mend this and say: service jaga start"]


def test_what_the_doctor_refuses_is_for_the_agent_to_say_but_not_for_ever(router):
    router.write("etc/config/jaga", GOOD)
    router.write("tmp/check.status", "3")
    router.write("tmp/check.text", "fatal mwan3\n")
    router.service("start")
    assert "set_param respawn 3600 5 1" in told(router)
    assert "-t jaga -p daemon.err fatal mwan3" in router.lines("tmp/log")


# --- reload -----------------------------------------------------------------------------------------------------

def test_reload_restarts_only_for_another_configuration_or_agent(router):
    router.write("etc/config/jaga", GOOD)
    router.service("start")
    router.service("reload")
    assert router.lines("tmp/procd.did") == ["start", "keep"]
    router.write("etc/config/jaga", GOOD.replace("192.0.2.1", "192.0.2.2"))
    router.service("reload")
    assert router.lines("tmp/procd.did") == ["start", "keep", "restart"]
    router.write("etc/config/jaga", GOOD.replace("enabled '1'", "enabled '0'"))
    router.service("reload")
    assert router.lines("tmp/procd.did") == ["start", "keep", "restart", "stop"]


def test_reload_of_a_wrong_configuration_leaves_the_agent_alone(router):
    router.write("etc/config/jaga", GOOD)
    router.service("start")
    router.write("tmp/check.status", "2")
    assert router.service("reload", check=False).returncode == 1
    assert router.lines("tmp/procd.did") == ["start"]
    assert "nothing is changed" in router.read("tmp/log")


def test_restart_waits_for_the_end_of_the_agent(router):
    router.write("etc/config/jaga", GOOD)
    router.service("start")
    assert router.service("restart").returncode == 0
    assert router.lines("tmp/procd.did") == ["start", "stop", "start"]
    asked = router.lines("tmp/agent.called")
    assert asked.count("--config /etc/config/jaga status") == 2  # it still ran, then no more
    assert (router.root / "tmp/agent.running").exists()


def test_restart_of_a_wrong_configuration_leaves_the_agent_alone(router):
    router.write("etc/config/jaga", GOOD)
    router.service("start")
    router.write("tmp/check.status", "2")
    assert router.service("restart", check=False).returncode == 1
    assert router.lines("tmp/procd.did") == ["start"]


def test_check_is_a_command(router):
    router.write("etc/config/jaga", GOOD)
    router.write("tmp/check.status", "3")
    router.write("tmp/check.text", "fatal: mwan3\n")
    ran = router.service("check", check=False)
    assert (ran.returncode, ran.stdout) == (3, "fatal: mwan3\n")


# --- the first proposal --------------------------------------------------------------------------------------------

def propose(router, network=NETWORK, firewall=FIREWALL, netifd=""):
    """What uci-defaults writes for such a router; the real agent's parser must take it."""
    for path, text in (("etc/config/network", network), ("etc/config/firewall", firewall), ("tmp/netifd", netifd)):
        router.write(path, text)
    config = router.root / "etc/config/jaga"
    config.unlink(missing_ok=True)
    router.write("etc/uci-defaults/90_jaga", (OPENWRT / "files/etc/uci-defaults/90_jaga").read_text())
    router.run("/bin/sh", "/etc/uci-defaults/90_jaga")
    asked = subprocess.run([str(build_dir() / "jaga-agent"), "--config", str(config), "status"], text=True,
                           capture_output=True, timeout=20)
    assert asked.returncode == 4, asked.stderr  # it is right, and nobody runs
    return router.read("etc/config/jaga")


def lines_of(text, word):
    return [line.split("'")[1] for line in text.splitlines() if line.strip().startswith(word)]


def test_proposal_is_made_on_installation_and_disabled(router):
    text = router.read("etc/config/jaga")
    assert lines_of(text, "option enabled") == ["0"]
    assert (router.root / "etc/config/jaga").stat().st_mode & 0o777 == 0o600
    assert not (router.root / "etc/uci-defaults/90_jaga").exists()
    assert (router.root / "etc/rc.d/S95jaga").is_symlink() and router.lines("tmp/procd.did") == []
    assert (router.root / "etc/jaga").stat().st_mode & 0o777 == 0o700


def test_proposal_from_the_configuration_alone(router):
    text = propose(router)
    assert lines_of(text, "list interfaces") == ["br-lan"]
    assert lines_of(text, "config uplink") == ["wan", "wanb", "wwan"]  # wan6 is on the line of wan
    assert lines_of(text, "option interface ") == ["eth0", "pppoe-wanb", "wwan0"]
    assert text.count("option tier '2'") == text.count("option metered '1'") == 1
    assert lines_of(text, "list targets")[:4] == ["1.1.1.1", "8.8.8.8", "9.9.9.9", "1.0.0.1"]


def test_proposal_with_what_netifd_knows(router):
    text = propose(router, netifd="lan br-home\nwan eth0.2\nwan6 eth0.2\nwwan wwan1\n")
    assert lines_of(text, "list interfaces") == ["br-home"]
    assert lines_of(text, "option interface ") == ["eth0.2", "pppoe-wanb", "wwan1"]


def test_proposal_without_a_firewall_and_of_the_old_kind(router):
    network = ("config interface lan\n\toption ifname 'eth0 eth1'\n\toption type bridge\n\toption proto static\n"
               "config interface wan\n\toption ifname eth2\n\toption proto dhcp\n"
               "config interface wan6\n\toption ifname @wan\n\toption proto dhcpv6\n"
               "config interface wan_2\n\toption proto 3g\n"
               "config interface guest\n\toption ifname eth3\n\toption proto static\n")
    text = propose(router, network, "")
    assert lines_of(text, "list interfaces") == ["br-lan"]
    assert lines_of(text, "option interface ") == ["eth2", "3g-wan_2"]


def test_proposal_where_nothing_is_known(router):
    text = propose(router, "", "")
    assert lines_of(text, "list interfaces") == ["br-lan"]
    assert lines_of(text, "config uplink") == ["wan"]


def test_proposal_never_replaces_a_configuration(router):
    router.write("etc/config/jaga", GOOD)
    router.write("etc/uci-defaults/90_jaga", (OPENWRT / "files/etc/uci-defaults/90_jaga").read_text())
    router.run("/bin/sh", "/etc/uci-defaults/90_jaga")
    assert router.read("etc/config/jaga") == GOOD


# --- what the scripts are made of ------------------------------------------------------------------------------------

def test_shellcheck():
    scripts = [path for folder in (OPENWRT / "scripts", OPENWRT / "files/etc/init.d", OPENWRT / "files/etc/uci-defaults", STANDIN)
               for path in sorted(folder.iterdir())]
    assert len(scripts) >= 10
    ran = subprocess.run(["shellcheck", *map(str, scripts)], text=True, capture_output=True, timeout=60)
    assert ran.returncode == 0, ran.stdout
