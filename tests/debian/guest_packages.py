"""The Debian packages in a Debian 12 with systemd: installed, started, used, upgraded, removed; `make check-debian-guest`.

One guest for all of it, in the order of the file: a box with a LAN, two uplinks and, on the same machine, the collector. Each
uplink leads to a namespace that is its provider and the internet behind it.
"""
import contextlib
import json
import re

import pytest

from tests.debian.guest import DebianGuest
from tests.guest.guest import ROOT
from tests.lab.lab import wait_until

PACKAGES = ("jaga-agent", "jaga-collector")
TARGETS = ("203.0.113.1", "203.0.113.11")
AGENT_CAPABILITIES = 1 << 12 | 1 << 13  # CAP_NET_ADMIN, CAP_NET_RAW
EXPOSURE = 20  # tenths
SLOW_S = 120   # emulated, on a busy machine
KERNEL_RULES = r"(0:\s+from all lookup local|32766:\s+from all lookup main|32767:\s+from all lookup default)\s*"
NO_PLAN = ([], [], [])

NETWORK = "\n".join([
    "ip link add lan0 type dummy && ip addr add 10.0.0.1/24 dev lan0 && ip link set lan0 up",
    "sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.default.rp_filter=1 net.ipv4.conf.all.rp_filter=0"] + [
    f"""ip netns add isp{n} && ip link add wan{n} type veth peer name cpe netns isp{n}
ip addr add {net}.2/24 dev wan{n} && ip link set wan{n} up && ip -n isp{n} link set lo up
ip -n isp{n} addr add {net}.1/24 dev cpe && ip -n isp{n} link set cpe up
ip -n isp{n} addr add {TARGETS[0]}/32 dev lo && ip -n isp{n} addr add {TARGETS[1]}/32 dev lo
ip route add default via {net}.1 dev wan{n} metric {n}0""" for n, net in ((1, "192.0.2"), (2, "198.51.100"))])

AGENT_CONF = "\n[lan]\ninterfaces = lan0\n" + "".join(
    f"[uplink isp{n}]\ninterface = wan{n}\ntargets = {', '.join(TARGETS)}\n" for n in (1, 2))


def package(name):
    found = sorted((ROOT / "build/packages/debian").glob(f"{name}_*_amd64.deb"))
    assert len(found) == 1, f"{found}: make packages-debian leaves one"
    return found[0]


class Box:
    """The guest and what tests ask it."""

    def __init__(self, guest):
        self.guest, self.sh, self.run = guest, guest.sh, guest.run

    def jaga(self, *words):
        """Rows of the technician's command."""
        out = self.sh(f"jaga {' '.join(words)} --json", timeout_s=SLOW_S).strip()
        return json.loads(out) if out.startswith("[") else [json.loads(line) for line in out.splitlines()]

    def agent_status(self):
        status = json.loads(self.sh("jaga-agent status --json"))
        return status[0] if isinstance(status, list) else status

    def wait_online(self):
        wait_until(lambda: any(row["name"] == "rtr1" and row["online"] for row in self.jaga("devices")), SLOW_S,
                   "rtr1 is online", poll_s=0.5)

    def wait_job(self, states):
        """The newest job, once it is in one of these states."""
        def look():
            row = self.jaga("jobs", "rtr1")[0]
            return row["state"] in states and self.jaga("job", str(row["job"]))[0]
        return wait_until(look, SLOW_S, f"the job is {states}", poll_s=0.5)

    def push(self, script):
        """(exit status of the push, output of the script)"""
        self.guest.put("/root/script.sh", script)
        return self.run("jaga push rtr1 /root/script.sh --wait 2>/root/errors", timeout_s=SLOW_S)

    def plan(self):
        """What of a forwarding plan the kernel holds: Jaga's nft tables, rules beside the kernel's own, uplinks' tables."""
        rules = [line for family in ("-4", "-6") for line in self.sh(f"ip {family} rule").splitlines()
                 if not re.fullmatch(KERNEL_RULES, line)]
        routes = self.sh("ip -4 route show table all; ip -6 route show table all")
        return (re.findall(r"^table \S+ jaga$", self.sh("nft list tables"), re.M), rules,
                sorted(set(re.findall(r" table (71\d\d) ", routes))))

    def pid(self, unit):
        return int(self.sh(f"systemctl show --value -p MainPID {unit}"))

    def process(self, pid):
        """{"Uid": "997 997 997 997"} of /proc/PID/status."""
        return dict(line.split(":\t", 1) for line in self.sh(f"cat /proc/{pid}/status").splitlines() if ":\t" in line)


@pytest.fixture(scope="module")
def box(tmp_path_factory):
    directory = tmp_path_factory.mktemp("debian")
    files = {f"/root/{name}.deb": package(name) for name in PACKAGES}
    with DebianGuest(directory, files) as guest:
        guest.sh(NETWORK)
        yield Box(guest)


@pytest.fixture(autouse=True)
def logs(box, request):
    """The units' logs belong to a failure."""
    failed = request.session.testsfailed
    yield
    if request.session.testsfailed != failed:
        for unit in ("jaga-agent", "jaga-collector", "'jaga-script*'"):
            print(f"--- {unit}\n{box.guest.journal(unit)[-3000:]}")


pytestmark = pytest.mark.deadline(900)  # the upgrade took six minutes beside other work


def test_a_fresh_installation_starts_nothing(box):
    box.sh("dpkg -i /root/jaga-agent.deb /root/jaga-collector.deb", timeout_s=240)
    assert box.sh("dpkg --audit") == ""
    for user in ("jaga", "jaga-agent"):
        assert re.search(rf"^{user}:", box.sh("getent passwd"), re.M)
    assert box.sh("systemctl is-enabled jaga-agent jaga-collector jaga-script.socket").split() == ["enabled"] * 3
    assert box.run("systemctl is-active jaga-agent jaga-collector")[1].split() == ["inactive"] * 2
    assert box.run("systemctl --failed --no-legend")[1] == ""
    assert box.plan() == NO_PLAN


def test_enrolled_and_online(box):
    box.guest.put("/etc/jaga/collector.conf", "[collector]\nlisten = 127.0.0.1:5684\nadvertise = 127.0.0.1:5684\n"
                                              "[store]\nsize = 64M\n")
    box.sh("systemctl start jaga-collector", timeout_s=SLOW_S)
    box.sh("jaga enroll rtr1 --out /root/rtr1", timeout_s=SLOW_S)
    conf = box.guest.get("/root/rtr1/agent.conf").decode()
    agent, _, _ = conf.partition("\n[lan]")
    box.guest.put("/etc/jaga/agent.conf", f"{agent}\nscripts = unsigned\n{AGENT_CONF}")
    box.sh("chmod 600 /etc/jaga/agent.conf")  # as careful people copy it
    box.sh("install -m 600 /root/rtr1/agent.key /etc/jaga/agent.key")
    box.sh("jaga-agent --check", timeout_s=SLOW_S)
    box.sh("systemctl start jaga-agent")
    box.wait_online()
    tables, rules, routes = box.plan()
    assert tables and rules and routes == ["7100", "7101"]  # what a removal takes away


def test_the_agent_is_nobody_with_two_capabilities(box):
    process = box.process(box.pid("jaga-agent"))
    user = box.sh("id -u jaga-agent").strip()
    assert set(process["Uid"].split()) == {user} and user != "0"
    assert {int(process[name], 16) for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb")} == {AGENT_CAPABILITIES}
    assert process["NoNewPrivs"] == "1" and process["Seccomp"] == "2"
    assert box.sh("stat -c '%U %a' /etc/jaga/agent.key /run/jaga-agent /var/lib/jaga-agent /run/jaga-script.sock").split("\n")[:4] == \
        ["jaga-agent 600", "jaga-agent 700", "jaga-agent 700", "jaga-agent 600"]
    # /proc/sys is read-only for it but for the network's part.
    assert box.sh("sysctl -n net.ipv4.conf.wan1.rp_filter net.ipv4.conf.wan2.rp_filter").split() == ["2", "2"]
    said = box.guest.journal("jaga-agent")
    assert "session open" in said  # it is the journal
    assert "cannot be set" not in said and "iptables-legacy" not in said and "error" not in said, said
    assert int(box.process(box.pid("jaga-collector"))["CapEff"], 16) == 0


@pytest.mark.parametrize("unit", ["jaga-agent", "jaga-collector"])
def test_exposure_as_systemd_sees_it(box, unit):
    box.sh(f"systemd-analyze security --no-pager --threshold={EXPOSURE} {unit}.service", timeout_s=SLOW_S)


def test_failover(box):
    with fault(box):
        wait_until(lambda: any(row.get("uplink") == "isp1" and row.get("to") == "down" for row in
                               box.jaga("events", "--device", "rtr1")), SLOW_S, "isp1 is reported down", poll_s=0.5)
        assert re.search(r"isp1 +\S+ +down", box.sh("jaga-agent uplinks"))
    wait_until(lambda: re.search(r"isp1 +\S+ +up", box.sh("jaga-agent uplinks")), SLOW_S, "isp1 is up again", poll_s=0.5)


@contextlib.contextmanager
def fault(box):
    """The first provider's gateway is there; the internet behind it answers nothing."""
    box.sh("ip netns exec isp1 sysctl -qw net.ipv4.icmp_echo_ignore_all=1")
    try:
        yield
    finally:
        box.sh("ip netns exec isp1 sysctl -qw net.ipv4.icmp_echo_ignore_all=0")


def test_snapshot(box):
    box.sh("nft add table inet mine; jaga snapshots rtr1 --take", timeout_s=SLOW_S)
    text = box.sh("jaga cat rtr1", timeout_s=SLOW_S)
    assert "table inet mine" in text and "inet 192.0.2.2/24" in text and "# --- failed" not in text


def test_a_script_is_root_in_a_unit_of_its_own(box):
    status, output = box.push("id -u\ncat /proc/self/cgroup\ngrep -E 'CapEff|Seccomp:' /proc/self/status\n"
                              "echo mine >/usr/lib/by-script && rm /usr/lib/by-script && echo writes\nexit 7\n")
    assert status == 7, output
    lines = output.splitlines()
    assert lines[0] == "0" and "jaga-script@" in lines[1] and lines[-1] == "writes"
    everything = int(box.process(1)["CapEff"], 16)
    assert int(re.search(r"CapEff:\s*(\w+)", output)[1], 16) == everything
    assert re.search(r"Seccomp:\s*0", output)
    wait_until(lambda: "jaga-script@" not in box.sh("systemctl list-units --all --no-legend 'jaga-script@*'"), SLOW_S,
               "the unit is gone with its script", poll_s=0.2)


def test_what_a_script_leaves_running_goes_on(box):
    assert box.push("setsid tail -f /dev/null >/dev/null 2>&1 &\necho $!\n")[0] == 0
    pid = box.jaga("job", str(box.jaga("jobs", "rtr1")[0]["job"]))[0]["output"].strip()
    assert box.sh(f"cat /proc/{pid}/comm").strip() == "tail"
    box.sh(f"kill {pid}")


def test_a_restart_adopts(box):
    tables = box.sh("nft -a list table inet jaga | grep -E 'chain|masquerade|jhash'")
    box.sh("systemctl restart jaga-agent")
    wait_until(lambda: box.run("jaga-agent status")[0] == 0, SLOW_S, "the agent answers", poll_s=0.2)
    assert box.agent_status()["adopted"] is True
    assert box.sh("nft -a list table inet jaga | grep -E 'chain|masquerade|jhash'") == tables
    box.wait_online()


def test_a_pushed_script_upgrades_the_agent_under_which_it_came(box):
    """The agent goes, the script stays to its end, the new agent adopts the plan and says honestly what it knows."""
    before = box.pid("jaga-agent")
    box.guest.put("/root/upgrade.sh", "dpkg -i /root/jaga-agent.deb && touch /root/upgraded\n")
    box.sh("jaga push rtr1 /root/upgrade.sh --no-confirm")
    box.guest.wait_for("test -e /root/upgraded", 300, "the script has come to its end")
    row = box.wait_job(("interrupted", "confirmed"))
    assert row["state"] == "interrupted", row
    assert box.pid("jaga-agent") not in (0, before)
    assert box.agent_status()["adopted"] is True
    box.wait_online()


def test_stopping_its_unit_ends_a_script(box):
    box.guest.put("/root/long.sh", "touch /root/begun\nexec tail -f /dev/null\n")
    box.sh("jaga push rtr1 /root/long.sh --no-confirm")
    box.guest.wait_for("test -e /root/begun", SLOW_S)
    box.sh("systemctl stop 'jaga-script@*'", timeout_s=SLOW_S)
    row = box.wait_job(("interrupted", "failed", "confirmed"))
    assert row["state"] == "interrupted" and "stopped" in row["reason"]
    assert box.run("pgrep -f 'tail -f /dev/null'")[0] == 1


def test_root_s_file_decides_without_a_restart(box):
    box.sh("sed -i 's/^scripts = unsigned/scripts = off/' /etc/jaga/agent.conf")
    assert box.push("touch /root/ran\n")[0] == 125
    assert "scripts = off" in box.wait_job(("failed",))["reason"]
    assert box.run("test -e /root/ran")[0] == 1


def test_a_removal_gives_the_router_back(box):
    box.sh("dpkg -r jaga-agent", timeout_s=240)
    assert box.plan() == NO_PLAN
    assert box.sh("sysctl -n net.ipv4.conf.wan1.rp_filter net.ipv4.conf.wan2.rp_filter").split() == ["1", "1"]
    assert box.run("systemctl is-active jaga-agent jaga-script.socket")[1].split() == ["inactive"] * 2
    assert box.run("test -e /run/jaga-script.sock -o -e /run/jaga-agent")[0] == 1
    assert box.sh("ls /etc/jaga").split() == ["agent.conf", "agent.key", "collector.conf"]


def test_a_purge_leaves_nothing(box):
    box.sh("useradd -G jaga technician")
    box.sh("dpkg -P jaga-agent jaga-collector", timeout_s=240)
    left = box.sh("find / -xdev -name '*jaga*' -not -path '/root/*'; find /run /etc/systemd /var/lib/systemd -name '*jaga*'")
    assert left == ""
    assert "jaga" not in box.sh("getent passwd; getent group")
    assert box.run("systemctl --failed --no-legend")[1] == ""
