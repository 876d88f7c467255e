"""jaga-agent as a process: what it leaves in force when it dies, what it takes away, what it refuses.

Nearly all of it without a collector: the router must stay online by itself."""
import json
import os
import re
import resource
import signal

import pytest

from tests.e2e.observe import PUBLIC, changes, flow_ids, logged, nft_handles, trace, uses, wait_new_flows, wait_probed
from tests.lab.lab import UPLINKS, wait_until
from tests.lab.programs import Agent, Flows

EXIT_FAILED, EXIT_USAGE, EXIT_REFUSED, EXIT_NOT_RUNNING = 1, 2, 3, 4
HELD = 60
DOWN_S, UP_S = 5, 15


def hold_flows(lab):
    """Users of both families on both uplinks."""
    flows = Flows(lab)
    assert uses(flows.open(HELD), 1, 2)
    assert uses(flows.open(HELD, family=6), 1, 2, family=6)
    return flows


def all_alive(flows):
    seen = flows.check()
    return seen["held"] > 0 and seen["alive"] == seen["held"]


# --- ends and starts ------------------------------------------------------------------------------

def test_a_crash_leaves_the_plan_and_the_next_start_adopts_it(lab, agent):
    flows = hold_flows(lab)
    handles, ids = nft_handles(lab.rtr), flow_ids(lab.rtr)
    assert len(ids) == 2 * HELD
    agent.kill()
    assert all_alive(flows)
    assert uses(flows.open(20), 1, 2)
    agent.start()
    assert agent.status()["adopted"] is True
    assert nft_handles(lab.rtr) == handles
    assert all_alive(flows)
    assert flow_ids(lab.rtr) >= ids
    assert uses(flows.open(20), 1, 2)


def test_sigterm_leaves_routing_in_force(lab, agent):
    flows = hold_flows(lab)
    assert agent.stop() == 0
    assert not agent.socket.exists()
    assert agent.run("uplinks", check=False).returncode == EXIT_NOT_RUNNING
    assert all_alive(flows)
    assert uses(flows.open(20), 1, 2)
    agent.start()
    assert agent.status()["adopted"] is True
    assert all_alive(flows)


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_restart_does_not_move_flows_back_to_a_dead_uplink(lab, agent, end):
    flows = hold_flows(lab)
    lab.cut_forwarding(1)
    lab.prove_fault()
    agent.wait_state(1, "down", DOWN_S)
    wait_new_flows(flows, 2)
    getattr(agent, end)()
    agent.start()

    def has_stayed():
        assert agent.state_of(1) == "down"
        assert uses(flows.open(10), 2)
        return agent.status()["uptime_s"] >= 3
    wait_until(has_stayed, 10, "the new agent has run for 3 s")
    lab.restore()
    agent.wait_state(1, "up", UP_S)
    wait_new_flows(flows, 1, 2)


def test_one_agent_at_a_time(lab, agent):
    before = trace(lab.rtr)
    second = agent.run(check=False)
    assert second.returncode == EXIT_FAILED
    assert f"pid {agent.program.pid}" in second.stderr
    removal = agent.run("--remove", check=False)
    assert removal.returncode == EXIT_FAILED
    assert f"pid {agent.program.pid}" in removal.stderr
    assert changes(before, trace(lab.rtr)) == ""
    assert agent.state_of(1) == "up"


def test_one_agent_at_a_time_whatever_the_state_directory(lab, agent):
    """A configuration that is being tried out beside the service, with nothing in common but the kernel."""
    before = trace(lab.rtr)
    other = Agent(lab, "tried")
    for arguments in ([], ["--remove"]):
        done = other.run(*arguments, check=False)
        assert done.returncode == EXIT_FAILED
        assert f"another jaga-agent (pid {agent.program.pid}) steers this router; stop it first" in done.stderr
    assert changes(before, trace(lab.rtr)) == ""
    assert agent.state_of(1) == "up"


# --- removal --------------------------------------------------------------------------------------

def test_remove_leaves_no_trace(lab):
    lab.rtr.sysctl(net__ipv4__conf__wan1__rp_filter=1)
    before = trace(lab.rtr)
    agent = Agent(lab).start()
    assert lab.rtr.run("sysctl", "-n", "net.ipv4.conf.wan1.rp_filter").stdout.strip() == "2"
    flows = hold_flows(lab)
    lab.cut_forwarding(1)
    agent.wait_state(1, "down", DOWN_S)
    wait_new_flows(flows, 2)
    lab.restore()
    agent.stop()
    agent.run("--remove")
    assert changes(before, trace(lab.rtr)) == ""
    agent.run("--remove")  # nothing is there any more: fine
    assert changes(before, trace(lab.rtr)) == ""


def test_remove_works_after_a_crash_and_under_another_configuration(lab):
    lab.rtr.sysctl(net__ipv4__conf__wan2__rp_filter=1)
    before = trace(lab.rtr)
    Agent(lab).start().kill()
    assert changes(before, trace(lab.rtr)) != ""
    Agent(lab, uplinks=(1,), weights=(1,), agent_lines="mark_field = 0xf00\ntable_base = 9000").run("--remove")
    assert changes(before, trace(lab.rtr)) == ""


def test_remove_goes_by_the_kernel_when_the_file_is_gone(lab):
    """As the package's removal meets it. A file that was named has to be there."""
    lab.rtr.sysctl(net__ipv4__conf__wan2__rp_filter=1)
    before = trace(lab.rtr)
    agent = Agent(lab).start()
    agent.kill()
    typo = lab.rtr.run(agent.binary, "--config", lab.dir / "typo.conf", "--remove", check=False)
    assert typo.returncode == 2 and changes(before, trace(lab.rtr)) != ""
    hidden = ("mount -t tmpfs none /etc && mount -t tmpfs none /var/lib && mkdir /var/lib/jaga-agent && "
              "mount --bind $1 /var/lib/jaga-agent && exec $2 --remove")
    removal = lab.rtr.run("sh", "-c", hidden, "sh", agent.state, agent.binary)
    assert removal.stderr == "jaga-agent: there is no /etc/jaga/agent.conf: removing what is in force on this machine\n"
    assert changes(before, trace(lab.rtr)) == ""


# --- what is wrong before the start -----------------------------------------------------------------

WRONG_VALUES = """\
[agent]
key_file = somewhere/agent.key
mark_field = 0
hash = dice
colour = blue
[lan]
interfaces = lan0
[uplink isp1]
interface = wan1
gateway = 2001:db8::1
weight = 0
targets = example.org
[wan]
[uplink isp2]
interface = wan2
targets = 203.0.113.1
nat = perhaps
"""
WRONG_VALUES_AT = [(2, "[agent] key_file"), (3, "[agent] mark_field"), (4, "[agent] hash"), (5, "[agent] colour"),
                   (10, "[uplink isp1] gateway"), (11, "[uplink isp1] weight"), (12, "[uplink isp1] targets"),
                   (13, "[wan]"), (17, "[uplink isp2] nat")]
CONTRADICTIONS = """\
[agent]
mark_field = 0x5
[lan]
interfaces = lan0
[uplink isp1]
interface = wan1
targets = 203.0.113.1
quorum = 2
[uplink isp2]
interface = wan1
targets = 203.0.113.1
timeout_min = 2s
timeout_max = 1s
"""
CONTRADICTIONS_AT = [(2, "[agent] mark_field"), (8, "[uplink isp1] quorum"), (10, "[uplink isp2] interface"),
                     (12, "[uplink isp2] timeout_min")]


@pytest.mark.parametrize("text, errors", [(WRONG_VALUES, WRONG_VALUES_AT), (CONTRADICTIONS, CONTRADICTIONS_AT)],
                         ids=["values", "contradictions"])
@pytest.mark.parametrize("mode", [[], ["--check"], ["--remove"]], ids=["run", "check", "remove"])
def test_a_bad_configuration_is_told_whole_and_changes_nothing(lab, text, errors, mode):
    agent = Agent(lab)
    agent.conf.write_text(text)
    before = trace(lab.rtr)
    done = agent.run(*mode, check=False)
    assert done.returncode == EXIT_USAGE
    told = [(int(line), field) for line, field in
            re.findall(rf"^{re.escape(str(agent.conf))}:(\d+): (\[.*?\](?: \w+)?):", done.stderr, re.M)]
    assert sorted(told) == errors, done.stderr
    assert changes(before, trace(lab.rtr)) == ""
    assert not agent.state.exists()


CLASHING_CHAIN = """
    table inet qos {
      chain classify {
        type filter hook prerouting priority mangle
        iifname "lan0" meta mark set 0x00000007
      }
    }"""
# What breaks a take-over: the trap's name, how to set it, how to mend it.
TRAPS = {
    "no forwarding": ("ip_forward", lambda rtr: rtr.sysctl(net__ipv4__ip_forward=0),
                      lambda rtr: rtr.sysctl(net__ipv4__ip_forward=1)),
    "marks of a chain": ("mark-clash", lambda rtr: rtr.nft(CLASHING_CHAIN),
                         lambda rtr: rtr.run("nft", "delete", "table", "inet", "qos")),
    "marks of a rule": ("mark-clash", lambda rtr: rtr.ip("rule", "add", "preference", "50", "fwmark", "2", "lookup", "main"),
                        lambda rtr: rtr.ip("rule", "del", "preference", "50")),
    "rule preference": ("rule-preference", lambda rtr: rtr.ip("rule", "add", "preference", "7101", "to", "10.9.9.9",
                                                                "lookup", "main"),
                        lambda rtr: rtr.ip("rule", "del", "preference", "7101")),
    "routing table": ("table", lambda rtr: rtr.ip("route", "add", "10.9.9.0/24", "dev", "lan0", "table", "7100"),
                      lambda rtr: rtr.ip("route", "flush", "table", "7100")),
}


@pytest.mark.parametrize("name", TRAPS)
def test_a_fatal_trap_refuses_the_take_over(lab, name):
    trap, set_trap, mend = TRAPS[name]
    set_trap(lab.rtr)
    agent = Agent(lab)
    before = trace(lab.rtr)
    done = agent.run(check=False)
    assert done.returncode == EXIT_REFUSED, done.stderr
    assert trap in done.stderr
    assert changes(before, trace(lab.rtr)) == ""

    checked = agent.run("--check", "--json", check=False)
    assert checked.returncode == EXIT_REFUSED
    fatal = [finding for finding in json.loads(checked.stdout) if finding["level"] == "fatal"]
    assert [finding["id"] for finding in fatal] == [trap]
    assert fatal[0]["what"] and fatal[0]["fix"]
    assert changes(before, trace(lab.rtr)) == ""

    mend(lab.rtr)
    agent.start()
    assert uses(Flows(lab).open(20), 1, 2)


def test_check_changes_nothing(lab):
    agent = Agent(lab)
    before = trace(lab.rtr)
    done = agent.run("--check")
    assert changes(before, trace(lab.rtr)) == ""
    assert not agent.state.exists() and not agent.socket.exists()
    assert "fatal" not in done.stdout
    agent.start()
    running, handles = trace(lab.rtr), nft_handles(lab.rtr)
    agent.run("--check")
    assert changes(running, trace(lab.rtr)) == ""
    assert nft_handles(lab.rtr) == handles


# --- without a collector ------------------------------------------------------------------------------

def test_status_and_uplinks_answer_without_a_collector(lab, agent):
    status = agent.status()
    assert status["session"] == "none" and status["plan_in_force"] is True and status["scripts"] == "off"
    rows = agent.uplinks()
    assert {name: row["interface"] for name, row in rows.items()} == {"isp1": "wan1", "isp2": "wan2"}
    assert all(row["state"] == "up" and row["carrier"] and row["address"] for row in rows.values())
    text = agent.run("uplinks").stdout
    assert "isp1" in text and "isp2" in text
    assert "uplinks.0.name=isp1" in agent.run("uplinks", "--kv").stdout


def test_force_moves_traffic_and_expires_by_itself(lab, agent):
    flows = Flows(lab)
    opened = flows.open(HELD)
    assert uses(opened, 1, 2)
    agent.run("force", "isp2", "--for", "8s")
    wait_new_flows(flows, 2)
    assert 0 < agent.uplinks()["isp2"]["forced_s"] <= 8
    # Those of the other uplink are cut once, to begin anew on the one that is wanted.
    assert set(flows.check()["by"]) == {PUBLIC[2]}
    wait_new_flows(flows, 1, 2, timeout_s=12)
    assert agent.uplinks()["isp2"]["forced_s"] == 0
    assert all_alive(flows)  # its end cuts nothing


def test_unforce_ends_a_force(lab, agent):
    flows = Flows(lab)
    agent.run("force", "isp1", "--for", "2h")
    wait_new_flows(flows, 1, timeout_s=2)
    agent.run("unforce")
    wait_new_flows(flows, 1, 2, timeout_s=2)
    assert all_alive(flows)


def test_force_refuses_what_it_does_not_understand(lab, agent):
    unknown = agent.run("force", "isp3", "--for", "2h", check=False)
    assert unknown.returncode == EXIT_USAGE and "isp1" in unknown.stderr and "isp2" in unknown.stderr
    assert agent.run("force", "isp1", "--for", "soon", check=False).returncode == EXIT_USAGE
    for line in ("force isp1", "status isp1", "--nonsense", "nonsense"):
        wrong = agent.run(*line.split(), check=False)
        assert wrong.returncode == EXIT_USAGE and "jaga-agent" in wrong.stderr.splitlines()[-1], line
    assert uses(Flows(lab).open(20), 1, 2)


def test_fail_over_works_with_a_collector_that_was_never_there(lab):
    agent = Agent(lab, collector=True)
    agent.key.write_text("a5" * 32 + "\n")
    agent.key.chmod(0o600)
    agent.start()
    flows = hold_flows(lab)
    lab.cut_forwarding(1)
    lab.prove_fault()
    agent.wait_state(1, "down", DOWN_S)
    wait_new_flows(flows, 2)
    lab.restore()
    agent.wait_state(1, "up", UP_S)
    wait_new_flows(flows, 1, 2)
    status = agent.status()
    assert status["session"] in ("connecting", "waiting") and status["spool_records"] >= 2


# --- others on the same router --------------------------------------------------------------------------

def test_foreign_mark_bits_survive(lab):
    """A neighbour marks packets and connections in bits that are not Jaga's: they arrive whole."""
    lab.rtr.nft("""
        table inet neighbour {
          counter kept { }
          counter lost { }
          chain early {
            type filter hook prerouting priority -170
            iifname "lan0" meta mark set meta mark | 0x00310000
            iifname "lan0" ct mark set ct mark | 0x4a000000
          }
          chain late {
            type filter hook postrouting priority 200
            iifname != "lan0" return
            oifname != { "wan1", "wan2" } return
            meta mark & 0x00310000 == 0x00310000 ct mark & 0x4a000000 == 0x4a000000 counter name kept return
            counter name lost
          }
        }""")
    agent = Agent(lab, agent_lines="mark_field = 0x3f00").start()
    flows = hold_flows(lab)
    assert all_alive(flows)
    lab.cut_forwarding(1)
    agent.wait_state(1, "down", DOWN_S)
    wait_new_flows(flows, 2)
    lab.restore()
    agent.wait_state(1, "up", UP_S)
    wait_new_flows(flows, 1, 2)
    assert lab.rtr.counter("neighbour", "kept") > 4 * HELD
    assert lab.rtr.counter("neighbour", "lost") == 0
    marks = {int(mark) for mark in re.findall(r"ESTABLISHED.* mark=(\d+)",
                                              lab.rtr.run("conntrack", "-L", "-p", "tcp", "--dport", 7).stdout)}
    assert marks == {0x4a000100, 0x4a000200}


def test_a_flushed_ruleset_is_installed_again(lab, agent):
    flows = hold_flows(lab)
    lab.rtr.run("nft", "flush", "ruleset")
    agent.program.wait_log(r"another program \(nft, pid \d+\) flushed the ruleset, installed ours again", 5)
    wait_new_flows(flows, 1, 2)


# --- the kernel's side ------------------------------------------------------------------------------------

def test_a_netlink_overrun_is_followed_by_a_new_reading(lab):
    """While the agent does not read, more happens than the kernel keeps for it; among that a lost carrier
    and rules of ours that somebody deletes."""
    agent = Agent(lab, ipv6=False).start()
    flows = Flows(lab)
    assert uses(flows.open(HELD), 1, 2)
    rules = lab.rtr.ip("rule")
    agent.program.popen.send_signal(signal.SIGSTOP)
    noise = [f"addr {verb} 10.{i}.{j}.1/32 dev lo" for i in range(100, 104) for j in range(250) for verb in ("add", "del")]
    lab.rtr.ip_batch(noise * 2)
    for preference in re.findall(r"^(\d+):.*lookup 7\d\d\d", rules, re.M):
        lab.rtr.ip("rule", "del", "preference", preference)
    lab.cut_carrier(1)
    lab.rtr.ip_batch(noise)
    agent.program.popen.send_signal(signal.SIGCONT)
    agent.program.wait_log("netlink overrun, resyncing", 5)
    agent.wait_state(1, "down", 2)
    wait_until(lambda: lab.rtr.ip("rule") == rules, 2, "the ip rules are back")
    wait_new_flows(flows, 2)


def test_an_interface_that_goes_and_comes_back_as_another(lab):
    """As a PPPoE line does when it is dialled again: same name, new index, its sysctls at their defaults."""
    lab.rtr.sysctl(net__ipv4__conf__default__rp_filter=1)
    agent = Agent(lab).start()
    flows = hold_flows(lab)
    wait_probed(agent)
    lab.unplug(1)
    agent.wait_state(1, "down", 2)
    assert logged(agent.program.read_log())[-1][3] == "carrier"
    wait_new_flows(flows, 2)
    lab.plug(1)
    agent.wait_state(1, "up", UP_S)
    wait_new_flows(flows, 1, 2)
    wait_until(lambda: uses(flows.open(20, family=6), 1, 2, family=6), 5, "IPv6 takes both uplinks")
    assert lab.rtr.run("sysctl", "-n", "net.ipv4.conf.wan1.rp_filter").stdout.strip() == "2"
    assert UPLINKS[1]["gateway"] in lab.rtr.ip("route", "show", "table", "7100")


def test_uplinks_that_come_after_the_agent(lab):
    """At boot the agent is there first: one interface comes later, the other has no address yet."""
    lab.unplug(1)
    lab.rtr.ip("addr", "flush", "dev", "wan2")
    agent = Agent(lab).start()
    assert {row["state"] for row in agent.uplinks().values()} == {"down"}
    flows = Flows(lab)
    lab.rtr.ip("addr", "add", "198.51.100.2/24", "dev", "wan2")
    lab.rtr.ip("route", "add", "default", "via", "198.51.100.1", "dev", "wan2", "metric", "20")
    agent.wait_state(2, "up", UP_S)
    wait_new_flows(flows, 2)
    lab.plug(1)
    agent.wait_state(1, "up", UP_S)
    wait_new_flows(flows, 1, 2)


def test_a_gateway_that_changes(lab, agent):
    """A DHCP lease names another gateway; the old one is dead."""
    flows = Flows(lab)
    assert uses(flows.open(20), 1, 2)
    lab.isp1.ip("addr", "add", "192.0.2.254/24", "dev", "cpe")
    lab.rtr.ip("route", "add", "default", "via", "192.0.2.254", "dev", "wan1", "metric", "5")
    lab.rtr.ip("route", "del", "default", "via", "192.0.2.1", "dev", "wan1", "metric", "10")
    wait_until(lambda: "192.0.2.254" in lab.rtr.ip("route", "show", "table", "7100"), 2, "the table has the new gateway")
    lab.isp1.ip("addr", "del", "192.0.2.1/24", "dev", "cpe")
    lab.isp1.ip("addr", "add", "192.0.2.254/24", "dev", "cpe")
    lab.isp1.ip("neigh", "flush", "dev", "cpe")
    wait_new_flows(flows, 1, 2)
    agent.wait_state(1, "up", UP_S)


def test_named_gateways_need_no_default_routes(lab):
    for number in UPLINKS:
        lab.rtr.ip("route", "del", "default", "dev", UPLINKS[number]["dev"])
        lab.rtr.ip("-6", "route", "del", "default", "dev", UPLINKS[number]["dev"])
    agent = Agent(lab, gateway="static").start()
    flows = hold_flows(lab)
    lab.cut_gateway(2)
    agent.wait_state(2, "down", DOWN_S)
    wait_new_flows(flows, 1)


# --- the key ------------------------------------------------------------------------------------------------

def test_the_key_is_nowhere_but_in_its_file(lab, cli, reporting_agent):
    agent = reporting_agent
    key = agent.key.read_text().strip()
    assert re.fullmatch("[0-9a-f]{64}", key)
    cli.run("snapshots", agent.name, "--take")
    said = [path.read_text(errors="replace") for path in lab.dir.glob("*.log")]
    said += [cli.run(*words).stdout for words in (["devices", "--json"], ["show", agent.name, "--json"],
                                                  ["events", "--json"], ["cat", agent.name])]
    said += [agent.run("status", "--json").stdout, agent.conf.read_text()]
    for program in (agent.program, cli.collector.program):
        proc = f"/proc/{program.pid}"
        for name in ("cmdline", "environ"):
            said.append(open(f"{proc}/{name}", errors="replace").read())
    assert not [text for text in said if key in text.lower()]

    assert agent.key.stat().st_mode & 0o777 == 0o600


@pytest.fixture
def cores_allowed():
    """The test's programs may leave core files, if they want to."""
    limits = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    yield
    resource.setrlimit(resource.RLIMIT_CORE, limits)


def test_a_crash_leaves_no_core_file(lab, cores_allowed, agent):
    with open(f"/proc/{agent.program.pid}/limits", encoding="ascii") as limits:
        assert re.search(r"^Max core file size +0 +0 ", limits.read(), re.M)
    agent.program.popen.send_signal(signal.SIGQUIT)
    ended = os.waitid(os.P_PID, agent.program.pid, os.WEXITED | os.WNOWAIT)
    assert (ended.si_code, ended.si_status) == (os.CLD_KILLED, signal.SIGQUIT)
