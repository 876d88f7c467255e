"""What end-to-end tests look at from outside: everything Jaga could leave on a router, the flows that the
kernel tracks, the datagrams between agent and collector, and the story that both tell of an uplink."""
import difflib
import re

from tests.lab.lab import UPLINKS, wait_until
from tests.lab.programs import COLLECTOR_PORT

PUBLIC = {number: UPLINKS[number]["address"] for number in UPLINKS}
PUBLIC6 = {number: UPLINKS[number]["address6"] for number in UPLINKS}

UPKEEP_S = 20  # twice LIMIT_UPKEEP_MS: so long after something has changed the agent says so

# Settings that count or hold secrets; the others are configuration.
MOVING_SYSCTL = re.compile(r"nf_conntrack_count|\.stable_secret|fib_notify|\.gc_|nf_conntrack_buckets")


def trace(host):
    """{what: text} of everything on a router that a forwarding plan may be made of."""
    sysctls = host.run("sysctl", "-a", "-r", r"^net\.", check=False).stdout
    return {
        "nft": host.run("nft", "list", "ruleset").stdout,
        "rules": host.ip("rule"),
        "rules6": host.ip("-6", "rule"),
        "routes": host.ip("route", "show", "table", "all"),
        "routes6": host.ip("-6", "route", "show", "table", "all"),
        "sysctls": "".join(line for line in sysctls.splitlines(True) if not MOVING_SYSCTL.search(line)),
    }


def changes(before, after):
    """What differs between two traces, as a text; "" when nothing does."""
    return "".join(line + "\n" for what in before for line in difflib.unified_diff(
        before[what].splitlines(), after[what].splitlines(), what + " before", what + " after", n=0, lineterm=""))


def nft_handles(host):
    """Rules, chains and sets of Jaga with their kernel handles: a replaced one has another."""
    return re.findall(r"^\s*(.*# handle \d+)$", "".join(
        host.run("nft", "-a", "list", "table", family, "jaga").stdout for family in ("inet", "ip", "ip6")), re.M)


def flow_ids(host, port=7):
    """Identities of the tracked TCP connections to that port: a flow that was cut and began anew has another."""
    out = host.run("conntrack", "-L", "-p", "tcp", "--dport", port, "-o", "id").stdout
    out += host.run("conntrack", "-L", "-f", "ipv6", "-p", "tcp", "--dport", port, "-o", "id").stdout
    return set(re.findall(r"ESTABLISHED.* id=(\d+)", out))


def uses(opened, *numbers, family=4):
    """Whether all of these flows work and take these uplinks and no other."""
    public = PUBLIC if family == 4 else PUBLIC6
    return opened.get("failed", 0) == 0 and set(opened["by"]) == {public[n] for n in numbers}


def wait_new_flows(flows, *numbers, timeout_s=5, count=20):
    wait_until(lambda: uses(flows.open(count), *numbers), timeout_s, f"new flows take uplinks {numbers}")


def wait_probed(agent):
    """The agent knows its uplinks by their answers: what follows is a change, no first verdict."""
    wait_until(lambda: all(row["rtt_us"] > 0 for row in agent.uplinks().values()), 5, "every uplink has answered probes")


def told(rows):
    """[(uplink, from, to, cause)] as the collector's event rows tell."""
    return [(row["uplink"], row["from"], row["to"], row["cause"]) for row in rows if row["kind"] == "uplink"]


def logged(text):
    """The same as the agent's log tells."""
    return [(uplink, was, to, cause) for uplink, to, cause, was in
            re.findall(r"(\S+) is (up|suspect|down) cause=(\S+) was=(\S+)", text)]


def wait_trouble(agent, text, timeout_s=UPKEEP_S):
    wait_until(lambda: text in agent.status()["trouble"], timeout_s, f"status tells: {text}")


def wait_well(agent, timeout_s=UPKEEP_S):
    wait_until(lambda: agent.status()["trouble"] == "", timeout_s, "status tells no trouble")


def wait_notice(cli, agent, part, timeout_s=UPKEEP_S):
    return wait_until(lambda: next((row for row in cli.rows("events", "--device", agent.name)
                                    if row["kind"] == "notice" and part in row["text"]), None),
                      timeout_s, f"the collector has been told: {part}")


def hide_collector(lab):
    """Nothing passes between the collector and the world, in silence."""
    lab.inet.nft(f"""
        table inet hidden {{
          chain forward {{
            type filter hook forward priority 0
            udp dport {COLLECTOR_PORT} drop
            udp sport {COLLECTOR_PORT} drop
          }}
        }}""")


def show_collector(lab):
    lab.inet.run("nft", "delete", "table", "inet", "hidden")
