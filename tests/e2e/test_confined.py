"""The agent is not root: fail-over, snapshot and settings with two capabilities, scripts in a root unit of their own."""
import os
import signal
import subprocess
import sys

import pytest

from tests.e2e.test_push import Gate, push, queue, wait_job, write_script
from tests.lab.confined import CAPABILITIES, USER, ConfinedAgent, as_user
from tests.lab.lab import CLIENTS, INTERNET, wait_until
from tests.lab.programs import ROOT

CAP_BITS = {"net_admin": 12, "net_raw": 13}
INTERRUPTED = "interrupted"


@pytest.fixture
def confine(lab, cli):
    """Makes agents that are not root, enrolled."""
    made = []

    def make(scripts="unsigned", start=True, **kwargs):
        agent = ConfinedAgent(lab, collector=True, ipv6=False, agent_lines=f"scripts = {scripts}\nsample_interval = 1d", **kwargs)
        made.append(agent)
        agent.enroll(cli)
        if start:
            agent.start()
            cli.wait_online(agent.name)
        return agent
    yield make
    for agent in made:
        agent.remove_programs()


def status_of(pid):
    """{"Uid": "0\\t0..."} of /proc/PID/status."""
    with open(f"/proc/{pid}/status", encoding="ascii") as text:
        return dict(line.rstrip("\n").split(":\t", 1) for line in text if ":\t" in line)


def script_processes(agent):
    """Processes of the unit, one for each script under way."""
    children = f"/proc/{agent.unit.pid}/task/{agent.unit.pid}/children"
    with open(children, encoding="ascii") as text:
        return [int(pid) for pid in text.read().split()]


# --- what it can, and what it is -------------------------------------------------------------------------

def test_it_has_two_capabilities_and_steers_with_them(lab, cli, confine):
    lab.rtr.sysctl(net__ipv4__conf__wan1__rp_filter=1)
    agent = confine()
    status = status_of(agent.program.pid)
    assert set(status["Uid"].split()) == {str(USER)} and status["NoNewPrivs"] == "1"
    wanted = sum(1 << CAP_BITS[name] for name in CAPABILITIES)
    assert all(int(status[name], 16) == wanted for name in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb"))
    assert lab.rtr.run("sysctl", "-n", "net.ipv4.conf.wan1.rp_filter").stdout.strip() == "2"
    agent.wait_state(1, "up", 10)
    agent.wait_state(2, "up", 10)
    lab.cut_forwarding(1)
    agent.wait_state(1, "down", 5)
    lab.prove_fault(1)
    for client in CLIENTS[:8]:
        assert lab.lan.run("ping", "-nqc1", "-W2", "-I", client, INTERNET[3]).returncode == 0
    cli.wait_event(agent.name, 10, kind="uplink", uplink="isp1", to="down")


def test_snapshot_and_removal(lab, cli, confine):
    lab.rtr.sysctl(net__ipv4__conf__wan1__rp_filter=1)
    lab.rtr.run("nft", "add", "table", "inet", "mine")
    agent = confine()
    cli.run("snapshots", agent.name, "--take")
    text = cli.run("cat", agent.name).stdout
    assert "table inet mine" in text and "\n7100: from all" in text and "inet 192.0.2.2/24" in text
    assert "# --- failed" not in text
    assert agent.stop() == 0
    agent.run("--remove")  # root's
    assert "jaga" not in lab.rtr.run("nft", "list", "tables").stdout
    assert lab.rtr.run("sysctl", "-n", "net.ipv4.conf.wan1.rp_filter").stdout.strip() == "1"


def test_what_is_for_root_only_is_named_in_the_snapshot(lab, cli, confine):
    secret = lab.dir / "secret"
    secret.write_text("root's own\n")
    secret.chmod(0o600)
    agent = confine(snapshot_lines=f"file = {secret}\ncommand = nft list tables")
    cli.run("snapshots", agent.name, "--take")
    text = cli.run("cat", agent.name).stdout
    assert f"# --- failed: file {secret}: Permission denied" in text
    assert "root's own" not in text and "table inet jaga" in text


@pytest.mark.parametrize("missing", CAPABILITIES)
def test_less_than_these_two_is_not_enough(lab, confine, missing):
    """Whoever finds a way to do without one of them takes it away here and in the unit."""
    lab.rtr.sysctl(net__ipv4__ping_group_range="1 0")
    agent = confine(start=False, capabilities=tuple(name for name in CAPABILITIES if name != missing))
    agent.start(wait=False)
    wait_until(lambda: "ot permitted" in agent.program.read_log() or "ermission denied" in agent.program.read_log(), 10,
               f"the agent misses CAP_{missing.upper()}")


# --- scripts ---------------------------------------------------------------------------------------------

def test_a_script_is_root_with_everything(lab, cli, confine):
    agent = confine()
    done = push(cli, agent, write_script(lab, "id -u; grep -E 'CapEff|NoNewPrivs' /proc/self/status; echo $JAGA_JOB; cat; exit 7\n"))
    assert done.returncode == 7, done.stderr
    user, capabilities, privileges, job = done.stdout.splitlines()
    own = status_of("self")
    assert user == "0" and int(capabilities.split()[1], 16) == int(own["CapEff"], 16)
    assert privileges.split()[1] == "0"
    row = cli.rows("jobs", agent.name)[0]
    assert (row["state"], row["exit_status"], str(row["job"])) == ("rolled-back", 7, job)


def test_what_is_saved_and_put_back_is_root_s(lab, cli, confine):
    """The way back takes the way of the script."""
    secret = lab.dir / "secret.conf"
    secret.write_text("one\n")
    secret.chmod(0o600)
    agent = confine(snapshot_lines=f"file = {secret}")
    done = push(cli, agent, write_script(lab, f"echo two > {secret}; ip route add 198.18.7.0/24 via 192.0.2.1; exit 7\n"))
    assert done.returncode == 7 and "rolled-back" in done.stderr
    assert secret.read_text() == "one\n" and secret.stat().st_mode & 0o777 == 0o600
    assert "198.18.7.0" not in lab.rtr.ip("route")
    saved = next(agent.state.glob("save-*"))
    assert saved.stat().st_uid == 0 and saved.stat().st_mode & 0o777 == 0o700


def test_a_large_script_and_a_capped_output(lab, cli, confine):
    agent = confine()
    text = "".join(f": filler line {i} {'.' * 75}\n" for i in range(2500)) + "head -c 200000 /dev/zero | tr '\\0' x\n"
    done = push(cli, agent, write_script(lab, text))
    assert done.returncode == 0 and done.stdout == "x" * (64 * 1024)
    assert cli.rows("job", cli.rows("jobs", agent.name)[0]["job"])[0]["output_truncated"] is True


def test_a_script_outlives_the_agent_and_the_end_is_told_honestly(lab, cli, confine):
    agent = confine()
    gate = Gate(lab, after=f"yes | head -c 300000; echo whole > {lab.dir}/whole")
    job = queue(cli, agent, gate.path, "--no-confirm")
    gate.wait_begun()
    agent.kill()
    agent.start()
    assert wait_job(cli, job, 60)["state"] == INTERRUPTED
    assert push(cli, agent, write_script(lab, "echo next\n", "next.sh")).stdout == "next\n"
    assert not (lab.dir / "whole").exists()
    gate.open()  # nobody reads its output, which is more than a pipe holds: it goes on all the same
    wait_until((lab.dir / "whole").exists, 10, "the script has come to its end")
    agent.unit.wait_log("the agent is not there to take the result")
    assert gate.count() == 1


def test_a_script_may_restart_the_agent(lab, cli, confine):
    """An upgrade by script: the agent goes, the script stays."""
    agent = confine()
    pid = agent.program.pid
    job = queue(cli, agent, write_script(lab, f"kill {pid}\nwhile kill -0 {pid}; do :; done\necho gone > {lab.dir}/after\n"), "--no-confirm")
    agent.program.wait()
    wait_until((lab.dir / "after").exists, 10, "the script has gone on")
    agent.start()
    assert wait_job(cli, job)["state"] == INTERRUPTED


@pytest.mark.parametrize("number, said", [(signal.SIGTERM, "its unit was stopped"), (signal.SIGKILL, "without a result")])
def test_a_unit_that_ends_is_told(lab, cli, confine, number, said):
    agent = confine()
    gate = Gate(lab)
    job = queue(cli, agent, gate.path, "--no-confirm")
    gate.wait_begun()
    process, = script_processes(agent)
    os.kill(process, number)
    row = wait_job(cli, job)
    assert row["state"] == INTERRUPTED and said in row["reason"]
    assert gate.count() == 1


# --- refusals ---------------------------------------------------------------------------------------------

def refused(lab, cli, agent):
    """The reason for which a script was not run."""
    ran = lab.dir / "ran"
    push(cli, agent, write_script(lab, f"touch {ran}\n"))
    row = cli.rows("job", cli.rows("jobs", agent.name)[0]["job"])[0]
    assert row["state"] == "failed" and "exit_status" not in row and not ran.exists()
    return row["reason"]


def test_root_s_file_decides(lab, cli, confine):
    """An agent that was broken into believes what it likes; with scripts = off nothing runs."""
    agent = confine()
    agent.conf.write_text(agent.conf.read_text().replace("scripts = unsigned", "scripts = off"))
    assert "scripts = off" in refused(lab, cli, agent)


def test_a_file_that_others_can_change_decides_nothing(lab, cli, confine):
    agent = confine()
    os.chown(agent.conf, USER, USER)
    assert "can be changed by others" in refused(lab, cli, agent)
    os.chown(agent.conf, 0, 0)
    agent.dir.chmod(0o777)
    assert "can be changed by others" in refused(lab, cli, agent)
    agent.dir.chmod(0o755)
    assert push(cli, agent, write_script(lab, "echo now\n")).stdout == "now\n"


def test_nobody_else_may_ask(lab, confine):
    agent = confine()
    agent.script_socket.chmod(0o666)
    ran = lab.dir / "ran"
    client = [sys.executable, ROOT / "tests/e2e/script_client.py", agent.script_socket, f"touch {ran}"]

    def ask(*words):
        return subprocess.run([*map(str, (*words, *client))], capture_output=True, text=True, timeout=20, check=True).stdout
    assert "is not the agent's" in ask(*as_user(USER + 1, ())) and not ran.exists()
    assert "exit=0" in ask(*as_user(USER, ())) and ran.exists()


def test_without_a_unit_there_is_no_script(lab, cli, confine):
    agent = confine()
    agent.unit.stop()
    agent.script_socket.unlink()
    assert "systemctl start jaga-script.socket" in refused(lab, cli, agent)


def test_an_agent_that_is_not_root_runs_none_itself(lab, cli, confine):
    assert "not root" in refused(lab, cli, confine(script_unit=False))
