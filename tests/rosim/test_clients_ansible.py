"""The simulated router, configured by Ansible's community.routeros: its API modules (over python3-librouteros) and, over SSH, command
and facts. What a playbook registers is what the collection made of the router's answers."""
import json
import os
import shutil
import subprocess

import pytest

from tests.rosim.test_api import HOST, Rosim, free_port

pytestmark = pytest.mark.skipif(not shutil.which("ansible-playbook"), reason="ansible is not installed; `make check-rosim` does that")

CONFIG = """[defaults]
host_key_checking = False
gathering = explicit
retry_files_enabled = False
interpreter_python = /usr/bin/python3
[persistent_connection]
connect_timeout = 60
command_timeout = 30
"""
MODULES = "community.routeros."


class Playbook:
    def __init__(self, router, directory):
        self.router, self.directory = router, directory
        (directory / "ansible.cfg").write_text(CONFIG)
        (directory / "hosts").write_text(
            f"router ansible_host={HOST} ansible_port={router.ssh_port} ansible_user=admin+cet1024w ansible_password=secret "
            "ansible_network_os=community.routeros.routeros ansible_connection=ansible.netcommon.network_cli\n")

    def run(self, *tasks, over_ssh=False):
        """[what each task gave]; the play goes on behind a task that failed."""
        play = [{"hosts": "router", "gather_facts": False, "tasks": [
            {MODULES + name: arguments if over_ssh else self.api(arguments), "ignore_errors": True,
             **({} if over_ssh else {"vars": {"ansible_connection": "local"}})} for name, arguments in tasks]}]
        (self.directory / "play.yml").write_text(json.dumps(play))
        environment = {"ANSIBLE_CONFIG": str(self.directory / "ansible.cfg"), "HOME": str(self.directory), "LC_ALL": "C.UTF-8",
                       "ANSIBLE_STDOUT_CALLBACK": "json"}
        done = subprocess.run(["ansible-playbook", "-i", "hosts", "play.yml"], cwd=self.directory, env={**os.environ, **environment},
                              text=True, capture_output=True, stdin=subprocess.DEVNULL, check=False, timeout=110)
        assert done.returncode == 0, done.stdout + done.stderr
        return [task["hosts"]["router"] for task in json.loads(done.stdout[done.stdout.index("{"):])["plays"][0]["tasks"]]

    def api(self, arguments):
        return {"hostname": HOST, "port": self.router.port, "username": "admin", "password": "secret", **arguments}


@pytest.fixture(params=("6.49", "7.20"))
def playbook(request, tmp_path):
    ssh_port = free_port()
    router = Rosim(request.param, "--ssh", f"{HOST}:{ssh_port}")
    router.ssh_port, router.personality = getattr(router, "ssh_port", ssh_port), request.param
    yield Playbook(router, tmp_path)
    router.stop()


def test_api(playbook):
    added, queried, extended, printed, refused, unknown = playbook.run(
        ("api", {"path": "ip address", "add": "address=192.0.2.10/24 interface=ether2 comment=\"from ansible\""}),
        ("api", {"path": "ip address", "query": ".id address comment WHERE address == 192.0.2.10/24"}),
        ("api", {"path": "interface", "extended_query": {"attributes": ["name", "type"], "where": [
            {"attribute": "name", "is": "in", "value": ["ether1", "ether3"]}]}}),
        ("api", {"path": "system identity", "cmd": "print"}),
        ("api", {"path": "ip address", "add": "address=192.0.2.11/24 interface=ether99"}),
        ("api", {"path": "ip nothing"}))
    number = added["msg"][0].split()[-1]
    assert added["changed"] and number.startswith("*")
    assert queried["msg"] == [{".id": number, "address": "192.0.2.10/24", "comment": "from ansible"}]
    assert extended["msg"] == [{"name": "ether1", "type": "ether"}, {"name": "ether3", "type": "ether"}]
    assert printed["msg"] == [{"name": "MikroTik"}]
    assert refused["failed"] and "input does not match any value of interface" in str(refused["msg"])
    assert unknown["failed"] and "no such command" in str(unknown["msg"])
    updated, removed, left = playbook.run(
        ("api", {"path": "ip address", "update": f".id={number} comment=changed"}),
        ("api", {"path": "ip address", "remove": number}), ("api", {"path": "ip address"}))
    assert updated["changed"] and removed["changed"] and left["msg"] in ([], ["empty"], "no result", ["no results for '/ip/address'"]), left


RULES = [{"chain": "input", "action": "accept", "comment": "first"}, {"chain": "input", "action": "drop", "comment": "last"},
         {"chain": "forward", "action": "accept", "protocol": "tcp", "dst-port": 80}]


def test_what_should_be(playbook):
    """api_modify: desired against observed, twice; then another order. api_info: as it is; api_find_and_modify: some of them."""
    wanted = {"path": "ip firewall filter", "data": RULES, "handle_absent_entries": "remove",
              "handle_entries_content": "remove_as_much_as_possible", "ensure_order": True}
    first, again, turned, info, found = playbook.run(
        ("api_modify", wanted), ("api_modify", wanted), ("api_modify", {**wanted, "data": RULES[::-1]}),
        ("api_info", {"path": "ip firewall filter", "hide_defaults": True}),
        ("api_find_and_modify", {"path": "ip firewall filter", "find": {"comment": "last"}, "values": {"action": "reject"}}))
    assert first["changed"] and not again["changed"] and turned["changed"], (first, again, turned)
    assert [(row["chain"], row.get("comment")) for row in info["result"]] == [("forward", None), ("input", "last"), ("input", "first")]
    assert found["changed"] and found["match_count"] == found["modify_count"] == 1
    (facts,) = playbook.run(("api_facts", {"gather_subset": ["all"]}))
    assert facts["ansible_facts"]["ansible_net_hostname"] == "MikroTik"
    assert facts["ansible_facts"]["ansible_net_version"].startswith(playbook.router.personality)
    assert set(facts["ansible_facts"]["ansible_net_interfaces"]) == {f"ether{n}" for n in range(1, 6)}


def test_command(playbook):
    done, exported, awaited, refused = playbook.run(
        ("command", {"commands": ["/system identity set name=R9", "/ip address add address=192.0.2.1/24 interface=ether1",
                                  ":foreach i in=[/ip address find] do={:put [/ip address get $i address]}"]}),
        ("command", {"commands": "/export"}),
        ("command", {"commands": "/system identity print", "wait_for": "result[0] contains R9"}),
        ("command", {"commands": "/ip address add address=x interface=ether1"}), over_ssh=True)
    assert done["stdout"][-1] == "192.0.2.1/24"
    assert "set name=R9" in exported["stdout"][0] and "failed" not in awaited
    assert "invalid value for argument address" in str(refused.get("stdout", refused.get("msg")))


def test_facts(playbook):
    (facts,) = playbook.run(("facts", {"gather_subset": ["hardware", "config", "interfaces"]}), over_ssh=True)
    facts = facts["ansible_facts"]
    assert facts["ansible_net_hostname"] == "MikroTik" and facts["ansible_net_version"].startswith(playbook.router.personality)
    assert "/system identity" in facts["ansible_net_config"] or "set" in facts["ansible_net_config"]
    assert "ether1" in facts["ansible_net_interfaces"]
