"""A script goes down, runs at most once, and its result comes back: on line, off line, refused, late, cut off. What follows
when it has to be confirmed, as is the rule, is in test_confirm.py: --no-confirm stands where something else is looked at."""
import os
import time

import pytest

from tests.e2e.observe import hide_collector, show_collector
from tests.lab.capture import Capture
from tests.lab.lab import UPLINKS, wait_until
from tests.lab.programs import Agent, Collector

FINAL = {"confirmed", "failed", "expired", "interrupted", "rolled-back"}
NO_RESULT = 125  # exit status of `jaga push --wait` when the script has none
START_MS = 5000  # from the push to the script's first command, after silence: far less than any poll or keepalive would take
SILENCE_S = 10
OUTPUT_BYTES = 64 * 1024


@pytest.fixture
def worker(lab, cli):
    """An agent that runs scripts and is quiet otherwise."""
    agent = Agent(lab, collector=True, ipv6=False, agent_lines="scripts = unsigned\nsample_interval = 1d")
    agent.enroll(cli)
    agent.start()
    cli.wait_online(agent.name)
    return agent


def write_script(lab, text, name="script.sh"):
    path = lab.dir / name
    path.write_text(text)
    return path


def push(cli, agent, path, *options):
    """Waits for the end, as a technician would."""
    return cli.run("push", agent.name, path, "--wait", *options, check=False)


def queue(cli, agent, path, *options):
    """The job's number."""
    return cli.rows("push", agent.name, path, *options)[0]["job"]


def wait_job(cli, job, timeout_s=20, states=FINAL):
    return wait_until(lambda: (row := cli.rows("job", job)[0])["state"] in states and row, timeout_s,
                      f"job {job} is one of {sorted(states)}")


class Gate:
    """A script that has begun and does not go on before it is let."""

    def __init__(self, lab, after=""):
        self.ran, self.fifo = lab.dir / "ran", lab.dir / "gate"
        os.mkfifo(self.fifo)
        self.path = write_script(lab, f"echo once >> {self.ran}\nread word < {self.fifo}\necho said $word\n{after}\n")

    def wait_begun(self):
        wait_until(self.ran.exists, 10, "the script has begun")

    def open(self):
        self.fifo.write_text("go\n")

    def open_now(self):
        """OSError: nobody waits at the gate."""
        os.close(os.open(self.fifo, os.O_WRONLY | os.O_NONBLOCK))

    def count(self):
        return self.ran.read_text().count("once") if self.ran.exists() else 0


# --- on line ------------------------------------------------------------------------------------------

def test_output_and_exit_status_come_back(lab, worker, cli):
    done = push(cli, worker, write_script(lab, "echo out\necho err >&2\nip -br link show dev wan2\n"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("out\nerr\nwan2")
    row = cli.rows("jobs", worker.name)[0]
    assert (row["state"], row["exit_status"], row["name"]) == ("confirmed", 0, "script.sh")
    assert row["output_bytes"] == len(done.stdout)


@pytest.mark.parametrize("script, status", [("echo no; exit 7", 7), ("kill -TERM $$", 143), ("no-such-program", 127)])
def test_a_failure_comes_back_as_one(lab, worker, cli, script, status):
    for state, options in (("failed", ["--no-confirm"]), ("rolled-back", [])):
        done = push(cli, worker, write_script(lab, script + "\n"), *options)
        assert done.returncode == status
        row = cli.rows("jobs", worker.name)[0]
        assert row["state"] == state and row["exit_status"] == status


def test_output_is_capped_and_flagged(lab, worker, cli):
    done = push(cli, worker, write_script(lab, "head -c 200000 /dev/zero | tr '\\0' x\n"))
    assert done.returncode == 0 and done.stdout == "x" * OUTPUT_BYTES
    row = cli.rows("job", cli.rows("jobs", worker.name)[0]["job"])[0]
    assert row["output_truncated"] is True and row["output_bytes"] == OUTPUT_BYTES
    whole = push(cli, worker, write_script(lab, f"head -c {OUTPUT_BYTES} /dev/zero | tr '\\0' y\n"))
    assert whole.stdout == "y" * OUTPUT_BYTES
    assert cli.rows("job", cli.rows("jobs", worker.name)[0]["job"])[0]["output_truncated"] is False


def test_a_large_script_arrives_whole(lab, worker, cli):
    text = "".join(f": filler line {i} {'.' * 75}\n" for i in range(2500)) + "echo end\n"
    assert 200_000 < len(text) < 256 * 1024
    done = push(cli, worker, write_script(lab, text))
    assert done.returncode == 0 and done.stdout == "end\n"


def test_jobs_run_in_order(lab, worker, cli):
    order = lab.dir / "order"
    jobs = [queue(cli, worker, write_script(lab, f"echo {i} >> {order}\n", f"{i}.sh")) for i in range(6)]
    assert all(wait_job(cli, job)["state"] == "confirmed" for job in jobs)
    assert order.read_text() == "".join(f"{i}\n" for i in range(6))


def test_a_script_has_nothing_to_read_and_may_leave_a_daemon_behind(lab, worker, cli):
    done = push(cli, worker, write_script(lab, "cat\necho job $JAGA_JOB\nsleep 600 &\n"))
    assert done.returncode == 0
    assert done.stdout == f"job {cli.rows('jobs', worker.name)[0]['job']}\n"


def test_the_agent_goes_on_while_a_script_runs(lab, worker, cli):
    gate = Gate(lab)
    job = queue(cli, worker, gate.path)
    gate.wait_begun()
    wait_job(cli, job, states={"received", "started"})
    lab.cut_forwarding(1)
    worker.wait_state(1, "down", 5)
    cli.wait_event(worker.name, 10, kind="uplink", uplink="isp1", to="down")
    gate.open()
    assert wait_job(cli, job)["output"] == "said go\n"


# --- silence ------------------------------------------------------------------------------------------

def test_after_silence_a_push_starts_at_once_and_the_collector_speaks_first(lab, worker, cli):
    """No polling: nobody says anything, then the collector's datagram, then the agent's, then the script runs."""
    captures = [Capture(lab.rtr, uplink["dev"]) for uplink in UPLINKS.values()]

    def datagrams():
        return sorted(datagram for capture in captures for datagram in capture.datagrams())
    begun = time.time()

    def is_silent():
        seen = datagrams()
        return time.time() - (seen[-1][0] if seen else begun) > SILENCE_S
    wait_until(is_silent, 90, f"{SILENCE_S} s of silence", poll_s=0.1)
    before = datagrams()

    stamp = lab.dir / "stamp"
    script = write_script(lab, f"read up idle < /proc/uptime; echo $up > {stamp}.new; mv {stamp}.new {stamp}\n")
    pushed = time.clock_gettime(time.CLOCK_BOOTTIME)
    job = queue(cli, worker, script, "--no-confirm")
    wait_until(stamp.exists, 10, "the script has run")
    waited_ms = (float(stamp.read_text()) - pushed) * 1000
    wait_job(cli, job)
    after = wait_until(lambda: len(d := datagrams()) > len(before) + 2 and d[len(before):], 5, "the capture shows it")
    last = before[-1][0] if before else begun
    assert after[0][0] - last > SILENCE_S
    assert after[0][1], "the agent spoke first: it polls"
    assert not after[1][1], "the agent's answer follows"
    assert waited_ms < START_MS


# --- off line -------------------------------------------------------------------------------------------

def test_an_offline_device_gets_it_when_it_comes_back(lab, worker, cli):
    assert worker.stop() == 0
    cli.wait_online(worker.name, online=False)
    gate = Gate(lab)
    job = queue(cli, worker, gate.path)
    assert cli.rows("job", job)[0]["state"] == "queued"
    assert cli.device(worker.name)["jobs_waiting"] == 1
    worker.start()
    gate.wait_begun()
    gate.open()
    assert wait_job(cli, job)["state"] == "confirmed"
    assert cli.device(worker.name)["jobs_waiting"] == 0
    worker.kill()
    worker.start()
    assert push(cli, worker, write_script(lab, "echo next\n", "next.sh")).stdout == "next\n"
    assert gate.count() == 1


def test_a_queued_job_survives_a_collector_that_is_killed(lab, worker, cli, collector):
    assert worker.stop() == 0
    cli.wait_online(worker.name, online=False)
    gate = Gate(lab)
    job = queue(cli, worker, gate.path)
    collector.kill()
    collector.start()
    assert cli.rows("job", job)[0]["state"] == "queued"
    worker.start()
    gate.wait_begun()
    gate.open()
    assert wait_job(cli, job)["state"] == "confirmed"
    assert gate.count() == 1


def test_a_wake_that_gets_lost_is_made_up_for(lab, cli):
    """Half-way between the two everything is dropped, as by a NAT that forgot: both still believe in the session."""
    cli.collector.stop()
    Collector(lab, lines="keepalive = 5s").start()
    agent = Agent(lab, collector=True, agent_lines="scripts = unsigned\nsample_interval = 1d")
    agent.enroll(cli)
    agent.start()
    cli.wait_online(agent.name)
    gate = Gate(lab)
    hide_collector(lab)
    job = queue(cli, agent, gate.path)
    assert cli.device(agent.name)["online"] is True
    cli.wait_online(agent.name, online=False, timeout_s=30)
    show_collector(lab)
    wait_until(gate.ran.exists, 60, "the script has begun")
    gate.open()
    assert wait_job(cli, job)["state"] == "confirmed"
    assert gate.count() == 1


def test_an_expired_job_is_not_run(lab, worker, cli):
    assert worker.stop() == 0
    cli.wait_online(worker.name, online=False)
    ran = lab.dir / "ran"
    job = queue(cli, worker, write_script(lab, f"touch {ran}\n"), "--expires", "1s")
    assert wait_job(cli, job)["state"] == "expired"
    worker.start()
    done = push(cli, worker, write_script(lab, "echo later\n", "later.sh"))
    assert done.stdout == "later\n" and not ran.exists()
    assert cli.run("job", job, "--wait", check=False).returncode == NO_RESULT


# --- at most once ---------------------------------------------------------------------------------------

def test_an_agent_that_dies_in_the_middle_does_not_run_it_again(lab, worker, cli):
    gate = Gate(lab)
    job = queue(cli, worker, gate.path, "--no-confirm")
    gate.wait_begun()
    worker.kill()
    worker.start()
    row = wait_job(cli, job, 60)
    assert row["state"] == "interrupted"
    assert push(cli, worker, write_script(lab, "echo next\n", "next.sh")).stdout == "next\n"
    assert gate.count() == 1


def test_a_script_that_ends_the_agent_is_interrupted(lab, worker, cli):
    """An upgrade that restarts the service under which it runs."""
    ran = lab.dir / "ran"
    job = queue(cli, worker, write_script(lab, f"echo once >> {ran}\nkill {worker.program.pid}\nexec tail -f /dev/null\n"), "--no-confirm")
    worker.program.wait()
    worker.start()
    row = wait_job(cli, job)
    assert row["state"] == "interrupted" and row["reason"]
    assert push(cli, worker, write_script(lab, "echo next\n", "next.sh")).stdout == "next\n"
    assert ran.read_text() == "once\n"


def test_an_agent_that_loses_its_journal_does_not_run_it_again(lab, worker, cli):
    """A router whose flash was replaced: the collector remembers what it handed out."""
    gate = Gate(lab)
    job = queue(cli, worker, gate.path, "--no-confirm")
    gate.wait_begun()
    worker.kill()
    for path in worker.state.iterdir():
        path.unlink()
    worker.start()
    assert wait_job(cli, job, 60)["state"] == "interrupted"
    assert push(cli, worker, write_script(lab, "echo next\n", "next.sh")).stdout == "next\n"
    assert gate.count() == 1


def test_a_result_waits_for_a_collector_that_died(lab, worker, cli, collector):
    gate = Gate(lab)
    job = queue(cli, worker, gate.path, "--no-confirm")
    gate.wait_begun()
    collector.kill()
    gate.open()
    collector.start()
    row = wait_job(cli, job, 60)
    assert (row["state"], row["output"]) == ("confirmed", "said go\n")
    assert push(cli, worker, write_script(lab, "echo next\n", "next.sh")).stdout == "next\n"
    assert gate.count() == 1


def test_a_result_survives_a_restart_of_the_agent(lab, worker, cli, collector):
    """Finished while the collector was away, and then the agent ended too."""
    gate = Gate(lab)
    job = queue(cli, worker, gate.path, "--no-confirm")
    gate.wait_begun()
    collector.kill()
    gate.open()
    wait_until(lambda: worker.status()["job_phase"] == "reporting", 5, "the script has ended, and the journal knows")
    wait_until(lambda: worker.stop() == 0, 5, "the agent has ended")
    collector.start()
    worker.start()
    row = wait_job(cli, job, 60)
    assert (row["state"], row["exit_status"], row["output"]) == ("confirmed", 0, "said go\n")
    assert gate.count() == 1


def test_a_script_may_cut_its_own_network(lab, worker, cli):
    """It takes both uplinks down for three seconds, as a WAN reconfiguration does, and reports all the same."""
    routes = "\n".join(f"ip route add default via {UPLINKS[n]['gateway']} dev wan{n} metric {10 * n}" for n in UPLINKS)
    job = queue(cli, worker, write_script(lab, "echo begun\nip link set wan1 down && ip link set wan2 down || exit 1\n"
                                               f"sleep 3\nip link set wan1 up && ip link set wan2 up\n{routes}\necho done\n"))
    row = wait_job(cli, job, 60)
    assert (row["state"], row["output"]) == ("confirmed", "begun\ndone\n")
    assert row["duration_ms"] >= 3000
    for number in UPLINKS:
        worker.wait_state(number, "up", 15)


# --- refused --------------------------------------------------------------------------------------------

def test_scripts_off_refuses_with_the_reason(lab, cli):
    agent = Agent(lab, collector=True)
    agent.enroll(cli)
    agent.start()
    cli.wait_online(agent.name)
    ran = lab.dir / "ran"
    done = push(cli, agent, write_script(lab, f"touch {ran}\n"))
    assert done.returncode == NO_RESULT
    assert "scripts" in done.stderr and "agent.conf" in done.stderr
    row = cli.rows("jobs", agent.name)[0]
    assert row["state"] == "failed" and "exit_status" not in row
    assert not ran.exists()


def test_what_cannot_be_pushed_is_told(lab, worker, cli):
    assert cli.run("push", "nobody", write_script(lab, "true\n"), check=False).returncode != 0
    assert cli.run("push", worker.name, lab.dir / "missing", check=False).returncode != 0
    assert cli.run("push", worker.name, write_script(lab, "x" * 300_000), check=False).returncode != 0
    assert cli.rows("jobs", worker.name) == []
