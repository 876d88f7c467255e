"""The forwarding plan of agent/router, seen by nft, ip, conntrack and real packets."""
import socket

import pytest

from tests.lab.lab import INTERNET, INTERNET6, UPLINKS, wait_until
from tests.lab.programs import Flows
from tests.netns.router import CommandFailed, RouterCtl, TABLES, conntrack, full_state, nft, routes, rules, ruleset, strace

BY = {1: UPLINKS[1]["address"], 2: UPLINKS[2]["address"]}


@pytest.fixture
def ctl(lab):
    one = RouterCtl(lab)
    one.run("take_over")
    return one


def test_plan_reads_as_intended(lab, ctl):
    """nft is the independent reader of what our netlink wrote."""
    text = nft(lab, "list", "table", "inet", "jaga")
    for line in (
            "jhash ip saddr . ip daddr mod 60 seed 0x6a616761 vmap @bucket",
            "jhash ip6 saddr . ip6 daddr mod 60 seed 0x6a616761 vmap @bucket",
            "ct direction 0 ct mark & 0x000000ff vmap @live",
            "ct direction 1 ct mark & 0x000000ff vmap @home",
            "type route hook output priority -150; policy accept;",
            "type filter hook prerouting priority -150; policy accept;",
            "meta mark & 0x000000ff != 0x00000000 return",
            "0x00000001 : goto carry_0, 0x00000002 : goto carry_1",
            'elements = { "lan0" }',
            '"wan1" : goto bind_0',
            "ip6 daddr fe80::/10 return"):
        assert line in text, line
    # nft shows (x & mask) ^ xor as "& (mask | xor) | xor".
    assert "ct mark set ct mark & 0xffffff01 | 0x00000001" in text
    assert "meta mark set meta mark & 0xffffff02 | 0x00000002" in text


def test_plan_loads_again_by_nft(lab, ctl):
    """What nft lists, nft accepts: nothing in it is out of the ordinary."""
    text = ruleset(lab)
    lab.rtr.run("nft", "-c", "-f", "-", input="flush ruleset\n" + text)


def test_routes_and_rules(lab, ctl):
    assert rules(lab, ours=True) == [
        "7100:\tfrom all lookup main suppress_prefixlength 0 proto 74",
        "7101:\tfrom all fwmark 0x1/0xff lookup 7100 proto 74",
        "7102:\tfrom all fwmark 0x2/0xff lookup 7101 proto 74",
        "40101:\tfrom all iif lo lookup 7100 proto 74",
        "40102:\tfrom all iif lo lookup 7101 proto 74"]
    assert routes(lab, TABLES[0]) == ["default via 192.0.2.1 dev wan1 proto 74 metric 1 onlink",
                                      "default via 198.51.100.1 dev wan2 proto 74 metric 2 onlink"]
    assert routes(lab, TABLES[1]) == ["default via 198.51.100.1 dev wan2 proto 74 metric 1 onlink",
                                      "default via 192.0.2.1 dev wan1 proto 74 metric 2 onlink"]


def test_flows_are_shared_by_weight(lab, ctl):
    answer = Flows(lab).open(1000)
    assert answer["failed"] == 0
    # 50 clients x 20 destinations; the hash is fixed, so this is no matter of luck.
    assert abs(answer["by"][BY[1]] - 600) <= 50, answer


@pytest.mark.parametrize("hash_name,expression", [
    ("source", "jhash ip saddr mod 60 seed 0x6a616761 vmap @bucket"),
    ("both-addresses-and-ports", "jhash ip saddr . ip daddr . th sport . th dport mod 60 seed 0x6a616761 vmap @bucket")])
def test_other_hashes(lab, hash_name, expression):
    RouterCtl(lab, hash=hash_name).run("take_over")
    text = nft(lab, "list", "chain", "inet", "jaga", "hash").replace("tcp sport . tcp dport", "th sport . th dport")
    assert expression in text, text
    answer = Flows(lab).open(600)
    assert answer["failed"] == 0
    assert set(answer["by"]) == set(BY.values())


def test_source_hash_keeps_a_user_on_one_uplink(lab):
    RouterCtl(lab, hash="source").run("take_over")
    Flows(lab).open(200)
    lines = [line for line in conntrack(lab, "-p", "tcp") if "src=10.0.0.7 " in line]
    assert len(lines) >= 4
    assert len({line.split("mark=")[1].split()[0] for line in lines}) == 1


def test_ipv6_flows_are_shared(lab):
    RouterCtl(lab, gateway6="auto", nat6="yes").run("take_over")
    answer = Flows(lab).open(200, 6)
    assert answer["failed"] == 0
    assert set(answer["by"]) == {UPLINKS[1]["address6"], UPLINKS[2]["address6"]}
    assert routes(lab, TABLES[1], "-6")[0].startswith("default via 2001:db8:2::1 dev wan2 proto 74 metric 1")


def test_nat_only_where_asked(lab):
    """isp2 sees the users' own addresses, and drops them; isp1 sees one."""
    ctl = RouterCtl(lab, nat2="no")
    ctl.run("take_over")
    assert 'oifname "wan1" masquerade' in nft(lab, "list", "table", "ip", "jaga")
    assert "wan2" not in nft(lab, "list", "table", "ip", "jaga")
    assert "table ip6 jaga" not in nft(lab, "list", "tables")
    ctl.run("apply bucket=1")
    before = lab.isp2.counter("isp", "spoofed")
    assert not lab.lan.ping(INTERNET[0])
    assert lab.isp2.counter("isp", "spoofed") > before
    ctl.run("apply bucket=0")
    assert lab.lan.ping(INTERNET[1])


def test_ipsec_is_never_translated(lab, ctl):
    """Packets that a policy protects, by `rt ipsec`; a tunnel's own, by their protocol: not moved, either."""
    order = [line.strip() for line in nft(lab, "list", "chain", "ip", "jaga", "postrouting").splitlines()]
    assert order.index("rt ipsec 1 return") < order.index('oifname "wan1" masquerade')
    ctl.run("apply bucket=1 live=1,1")
    before = lab.isp1.counter("isp", "up")
    lab.rtr.run("/usr/bin/python3", "-c", "import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, 50)"
                f".sendto(b'spi seq payload.', ('{INTERNET[4]}', 0))")
    assert lab.isp1.counter("isp", "up") == before + 1


def test_foreign_bits_survive(lab, ctl):
    """Another program's bits in packet and connection marks, set before and after our hooks."""
    lab.rtr.nft("""
        table inet other {
          counter packet { }
          counter connection { }
          chain before {
            type filter hook prerouting priority -160
            ct state new ct mark set ct mark | 0xab000000
            meta mark set meta mark | 0x00cd0000
          }
          chain after {
            type filter hook postrouting priority 200
            oifname "wan*" meta mark & 0xffffff00 == 0x00cd0000 counter name packet
            oifname "wan*" ct mark & 0xffffff00 == 0xab000000 counter name connection
          }
        }""")
    assert Flows(lab).open(50)["failed"] == 0
    assert lab.rtr.counter("other", "packet") >= 50
    assert lab.rtr.counter("other", "connection") >= 50
    marks = {line.split("mark=")[1].split()[0] for line in conntrack(lab, "-p", "tcp", "--orig-port-dst", "7")}
    assert marks == {str(0xab000001), str(0xab000002)}
    # Flush by our field, whatever the others hold.
    assert int(ctl.run("flush 0 all")["flows"]) > 0
    assert {line.split("mark=")[1].split()[0] for line in conntrack(lab, "-p", "tcp")} == {str(0xab000002)}


def test_another_field(lab):
    RouterCtl(lab, mark_field="0x00ff0000").run("take_over")
    assert "7102:\tfrom all fwmark 0x20000/0xff0000 lookup 7101 proto 74" in rules(lab)
    answer = Flows(lab).open(200)
    assert answer["failed"] == 0 and set(answer["by"]) == set(BY.values())
    marks = {line.split("mark=")[1].split()[0] for line in conntrack(lab, "-p", "tcp", "--orig-port-dst", "7")}
    assert marks == {str(0x10000), str(0x20000)}


@pytest.mark.parametrize("number", [1, 2])
def test_inbound_answers_by_the_uplink_it_came_in_on(lab, ctl, number):
    """To the router itself, whichever uplink main prefers."""
    other = 3 - number
    before = lab.isp(other).counter("isp", "up")
    assert lab.inet.ping(BY[number])
    assert lab.isp(other).counter("isp", "up") == before
    lines = [line for line in conntrack(lab, "-p", "icmp") if f"dst={BY[number]}" in line.split("src=")[1]]
    assert lines and f"mark={number}" in lines[0]


@pytest.mark.parametrize("number", [1, 2])
def test_inbound_to_a_server_behind_the_router(lab, ctl, number):
    """DNAT to a LAN host: the answer goes out where the question came in, though the hash says otherwise."""
    ctl.run(f"apply bucket={2 - number}")  # new flows of users take the other one
    lab.rtr.nft("""
        table ip other {
          chain pre { type nat hook prerouting priority -100; 
            iifname "wan*" tcp dport 8080 dnat to 10.0.0.2:8080
          }
        }""")
    server = lab.lan.start("server", "/usr/bin/python3", "-m", "http.server", "8080", "--bind", "10.0.0.2")
    wait_until(lambda: "8080" in lab.lan.run("ss", "-Hltn").stdout, 5, "the server listens")
    done = lab.inet.run("/usr/bin/python3", "-c", "import http.client\n"
                        f"ask = http.client.HTTPConnection('{BY[number]}', 8080, timeout=3)\n"
                        "ask.request('GET', '/')\nprint(ask.getresponse().status)")
    assert done.stdout == "200\n"
    server.stop()


def test_router_originated_traffic_is_shared(lab, ctl):
    """Each of many destinations takes the uplink that its hash says, with that uplink's address."""
    for address in INTERNET:
        assert lab.rtr.ping(address, timeout_s=1)
    marks = [line.split("mark=")[1].split()[0] for line in conntrack(lab, "-p", "icmp") if "src=192.0.2.2 " in line]
    assert {"1", "2"} == set(marks)


def test_marked_probes_are_left_alone(lab, ctl):
    """A probe bound to an uplink, with its mark, leaves by it whatever the plan says."""
    ctl.run("apply bucket=1 live=1,1")
    before = lab.isp1.counter("isp", "up")
    lab.rtr.run("ping", "-nqc1", "-W1", "-I", "wan1", "-m", "1", INTERNET[2])
    assert lab.isp1.counter("isp", "up") == before + 1


def test_a_socket_bound_to_an_uplink_gets_through(lab, ctl):
    """ping -I wan2 works for a person, too, whatever the hash says."""
    for address in INTERNET:
        for number in (1, 2):
            assert lab.rtr.ping(address, UPLINKS[number]["dev"], timeout_s=1)


def test_lan_and_local_traffic_is_not_bound(lab, ctl):
    assert lab.lan.ping("10.0.0.1")
    assert lab.rtr.ping("10.0.0.2")
    assert all("mark=0" in line for line in conntrack(lab, "-p", "icmp") if "dst=10.0.0." in line.split("sport")[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM):
        lab.lan.run("ping", "-bnqc1", "-W0.2", "10.0.0.255", check=False)
        lab.lan.run("ping", "-nqc1", "-W0.2", "-I", "lan0", "224.0.0.251", check=False)
        lab.lan.run("ping", "-nqc1", "-W0.2", "169.254.7.7", check=False)
    for destination in ("10.0.0.255", "224.0.0.251", "169.254.7.7"):
        for line in conntrack(lab):
            if f"dst={destination} " in line:
                assert "mark=0" in line or "169.254" in destination, line


def test_flows_older_than_us_are_bound_where_they_leave(lab):
    """They go on, and a fail-over knows them."""
    lab.rtr.nft("""
        table ip old {
          chain post {
            type nat hook postrouting priority 100
            oifname "wan*" masquerade
          }
        }""")
    flows = Flows(lab)
    assert flows.open(60)["by"] == {BY[1]: 60}
    ctl = RouterCtl(lab)
    ctl.run("take_over")
    assert flows.check()["alive"] == 60
    marks = {line.split("mark=")[1].split()[0] for line in conntrack(lab, "-p", "tcp", "--orig-port-dst", "7")}
    assert marks == {"1"}


def test_failover_moves_flows_and_failback_cuts_none(lab, ctl):
    flows = Flows(lab)
    flows.open(100)
    ctl.run("apply bucket=1 live=1,1")
    moved = int(ctl.run("flush 0 all")["flows"])
    assert moved > 30
    lab.cut("ii")
    answer = flows.open(100)
    assert answer == {"opened": 100, "failed": 0, "by": {BY[2]: 100}}
    lab.restore()
    flows.check()  # drops what was reset
    held = flows.check()["held"]
    assert held >= 100
    ctl.run("apply")
    assert flows.check()["alive"] == held
    assert set(flows.open(100)["by"]) == set(BY.values())


@pytest.mark.parametrize("how", ["at_once", "one_by_one"])
def test_unreplied_flush_spares_the_others(lab, ctl, how):
    """Both ways: by CTA_STATUS_MASK, and flow by flow as kernels before 5.15 need it."""
    if how == "one_by_one":
        ctl.run("one_by_one")
    ctl.run("apply bucket=0")
    flows = Flows(lab)
    assert flows.open(40)["opened"] == 40
    lab.cut("ii")
    assert flows.open(30)["failed"] == 30
    assert len(conntrack(lab, "-p", "tcp", "--state", "SYN_SENT")) == 30
    ctl.run("apply bucket=1")
    assert flows.open(10)["opened"] == 10
    assert ctl.run("flush 1 unreplied") == {"flows": "0"}
    assert ctl.run("flush 0 unreplied") == {"flows": "30"}
    assert conntrack(lab, "-p", "tcp", "--state", "SYN_SENT") == []
    lab.restore()
    assert flows.check()["alive"] == 50


def listens_to_nftables(lab, pid):
    """Whether it has joined a group of NETLINK_NETFILTER (12); an open socket alone hears nothing yet."""
    rows = (line.split() for line in lab.rtr.run("cat", "/proc/net/netlink").stdout.splitlines()[1:])
    return any(row[1] == "12" and int(row[2]) == pid and int(row[3], 16) != 0 for row in rows)


def test_apply_changes_only_what_differs(lab, ctl):
    monitor = lab.rtr.start("monitor", "nft", "monitor", piped=False)
    wait_until(lambda: listens_to_nftables(lab, monitor.pid), 5, "nft listens")
    ctl.run("apply live=1,1")
    monitor.wait_log(r"new generation", 5)
    text = monitor.read_log()
    assert text.count("delete element") == 1 and text.count("add element") == 1 and "map" not in text.replace("inet jaga live", "")
    start = len(text)
    ctl.run("apply live=1,1")  # nothing to change: nothing is sent
    ctl.run("apply live=0,1 bucket=1")
    monitor.wait_log(r"new generation", 5, start)
    assert monitor.read_log()[start:].count("new generation") == 1


def test_counters(lab, ctl):
    before = ctl.run("counters 0")
    lab.rtr.run("ping", "-nqc3", "-i0.01", "-I", "wan1", INTERNET[0])
    after = ctl.run("counters 0")
    assert int(after["rx"]) - int(before["rx"]) >= 3 * 98
    assert int(after["tx"]) - int(before["tx"]) >= 3 * 98


def test_remove_leaves_nothing(lab):
    before = full_state(lab)
    ctl = RouterCtl(lab, gateway6="auto", nat6="yes")
    ctl.run("take_over")
    assert full_state(lab) != before
    ctl.run("remove")
    assert full_state(lab) == before
    ctl.run("remove")
    assert full_state(lab) == before
    assert not (lab.dir / "state/sysctls").exists()
    with pytest.raises(CommandFailed, match="EINVAL"):
        ctl.run("apply")


def test_sysctls_are_restored_after_a_crash(lab):
    lab.rtr.sysctl(net__ipv4__conf__wan1__rp_filter=1, net__ipv4__conf__all__rp_filter=0)
    before = full_state(lab)
    ctl = RouterCtl(lab)
    ctl.run("take_over")
    assert lab.rtr.run("sysctl", "-n", "net.ipv4.conf.wan1.rp_filter").stdout == "2\n"
    assert lab.rtr.run("sysctl", "-n", "net.ipv4.conf.wan2.ignore_routes_with_linkdown").stdout == "1\n"
    ctl.program.kill()
    ctl = RouterCtl(lab)
    ctl.run("take_over")  # must not save the changed values as the owner's
    ctl.close()
    RouterCtl(lab).run("remove")
    assert full_state(lab) == before


def test_sysctls_of_another_boot_are_not_restored(lab):
    """What was saved died with the kernel that it was saved from, and a power cut may have torn the file."""
    lab.rtr.sysctl(net__ipv4__conf__wan1__rp_filter=1, net__ipv4__conf__all__rp_filter=0)
    before = full_state(lab)
    saved = lab.dir / "state/sysctls"
    saved.parent.mkdir(exist_ok=True)
    for left in ("boot 00000000-0000-0000-0000-000000000000\nnet/ipv4/conf/wan1/rp_filter 0\n", "", "\0" * 64, "boot "):
        saved.write_text(left)
        ctl = RouterCtl(lab)
        ctl.run("take_over")
        assert saved.read_text().splitlines()[1].split() == ["net/ipv4/conf/wan1/rp_filter", "1"]
        assert "error" not in ctl.program.read_log()
        ctl.run("remove")
        ctl.close()
        assert full_state(lab) == before


def test_sysctls_are_saved_without_waiting_for_the_disk(lab):
    ctl = RouterCtl(lab)
    tracer = strace(lab, ctl, "calls", "fsync,fdatasync,sync,syncfs,rename,renameat,renameat2")
    ctl.run("take_over")
    tracer.stop()
    assert "sysctls" in tracer.read_log() and "sync" not in tracer.read_log()


def test_ipv6_off(lab):
    """Nothing of IPv6 is asked of uplinks that do not want it."""
    RouterCtl(lab).run("take_over")
    assert routes(lab, TABLES[0], "-6") == []
    assert lab.rtr.ping(INTERNET6[0])


@pytest.mark.parametrize("hash_name", ["both-addresses", "both-addresses-and-ports"])
def test_as_many_of_everything_as_the_limits_allow(lab, hash_name):
    """16 uplinks, 16 LANs, 64 buckets: the transaction, the rules and the routes have room."""
    lab.rtr.ip_batch([line for n in range(3, 17) for line in (
        f"link add wan{n} type veth peer name far{n}", f"link set wan{n} up", f"link set far{n} up",
        f"addr add 100.64.{n}.2/24 dev wan{n}", f"addr add 2001:db8:64:{n}::2/64 dev wan{n} nodad")])
    uplinks = "".join(f"""
[uplink isp{n}]
interface = wan{n}
gateway = {f"100.64.{n}.1" if n > 2 else "auto"}
gateway6 = {f"2001:db8:64:{n}::1" if n > 2 else "auto"}
nat6 = yes
targets = 203.0.113.1
""" for n in range(1, 17))
    conf = f"""
[agent]
state_dir = {lab.dir / "state"}
buckets = 64
hash = {hash_name}
[lan]
interfaces = lan0, {", ".join(f"lan{n}" for n in range(1, 16))}
{uplinks}"""
    ctl = RouterCtl(lab, conf)
    ctl.run("take_over bucket=0 live=" + ",".join(str(n) for n in range(16)))
    assert len(rules(lab, ours=True)) == len(rules(lab, "-6", ours=True)) == 33
    for table in range(7100, 7116):
        assert len(routes(lab, str(table))) == len(routes(lab, str(table), "-6")) == 16
    ctl.run("apply bucket=" + ",".join(str(n % 2) for n in range(64)) + " live=" + ",".join(str(n % 2) for n in range(16)))
    answer = Flows(lab).open(100)
    assert answer["failed"] == 0 and set(answer["by"]) == set(BY.values())
    ctl.program.kill()
    again = RouterCtl(lab, conf)
    assert again.run("take_over bucket=0 live=0") == {"adopted": "1"}
    again.run("remove")
    assert rules(lab, ours=True) == [] and routes(lab, "7115") == [] and "jaga" not in ruleset(lab)
