"""The doctor: every trap in a namespace of its own, found by name with a fix, and nothing changed."""
import pytest

from tests.netns.router import RouterCtl, full_state, nft


def check(lab, **fields):
    """{id: trap} of warnings and worse. The doctor changes nothing, whatever it finds."""
    before = full_state(lab)
    ctl = RouterCtl(lab, **fields)
    traps = ctl.traps()
    assert full_state(lab) == before
    ctl.close()
    for trap in traps.values():
        assert trap["what"] and trap["fix"], trap
    return traps


def expect(traps, ident, level, *words):
    assert ident in traps, traps
    assert traps[ident]["level"] == level, traps[ident]
    for word in words:
        assert word in traps[ident]["what"], traps[ident]


def test_nothing_stands_in_the_way(lab):
    assert check(lab, gateway6="auto", nat6="yes") == {}


def test_nothing_stands_in_the_way_of_a_plan_in_force(lab):
    ctl = RouterCtl(lab)
    ctl.run("take_over")
    found = ctl.run("check")
    assert found["worst"] == "warning" and {t["id"] for t in found["traps"] if t["level"] != "ok"} == {"ipv6-leak"}


def test_every_check_says_that_it_looked(lab):
    looked = {t["id"] for t in RouterCtl(lab, gateway6="auto", nat6="yes").run("check")["traps"]}
    assert {"kernel", "ip_forward", "interface", "address", "rp_filter", "conntrack", "rules", "table", "flowtable",
            "nft_rules", "mss", "nat", "iptables-legacy"} <= looked


# --- kernel and sysctls -------------------------------------------------------------------------

def test_ip_forward(lab):
    lab.rtr.sysctl(net__ipv4__ip_forward=0)
    expect(check(lab), "ip_forward", "fatal", "net.ipv4.ip_forward is 0")


def test_ipv6_forwarding(lab):
    lab.rtr.sysctl(net__ipv6__conf__all__forwarding=0)
    expect(check(lab, gateway6="auto", nat6="yes"), "ip_forward", "warning", "net.ipv6.conf.all.forwarding is 0")


def test_rp_filter(lab):
    lab.rtr.sysctl(net__ipv4__conf__wan2__rp_filter=1)
    expect(check(lab), "rp_filter", "warning", "wan2")
    lab.rtr.sysctl(net__ipv4__conf__wan2__rp_filter=2)
    assert "rp_filter" not in check(lab)
    lab.rtr.sysctl(net__ipv4__conf__all__rp_filter=1)
    expect(check(lab), "rp_filter", "warning", "wan1")


# --- interfaces and addresses -------------------------------------------------------------------

def test_interfaces(lab):
    expect(check(lab, lan="lan0, lan7"), "interface", "warning", "lan7", "LAN")
    lab.rtr.ip("link", "set", "wan2", "down")
    expect(check(lab), "interface", "warning", "wan2 is down")
    lab.rtr.ip("link", "del", "wan2")
    expect(check(lab), "interface", "warning", "no interface wan2", "isp2")


def test_enslaved_uplink(lab):
    lab.rtr.ip_batch(["link add br0 type bridge", "link set wan2 master br0"])
    expect(check(lab), "interface", "warning", "wan2", "belongs to another interface")


def test_no_address_no_gateway(lab):
    lab.rtr.ip("route", "del", "default", "dev", "wan2")
    expect(check(lab), "gateway", "warning", "isp2")
    lab.rtr.ip("addr", "flush", "dev", "wan2")
    expect(check(lab), "address", "warning", "isp2")


def test_two_modems_alike(lab):
    """Both 192.168.1.1, both give 192.168.1.100."""
    for dev in ("wan1", "wan2"):
        lab.rtr.ip_batch([f"addr flush dev {dev}", f"addr add 192.168.1.100/24 dev {dev}"])
    traps = check(lab, gateway1="192.168.1.1", gateway2="192.168.1.1")
    expect(traps, "same-address", "warning", "wan1", "wan2", "192.168.1.100")
    expect(traps, "same-gateway", "warning", "isp1", "isp2", "192.168.1.1")


def test_overlapping_networks(lab):
    lab.rtr.ip("addr", "add", "10.0.0.200/25", "dev", "wan1")
    expect(check(lab), "overlap", "warning", "lan0", "wan1")
    lab.rtr.ip("addr", "del", "10.0.0.200/25", "dev", "wan1")
    lab.rtr.ip("addr", "add", "2001:db8:a:0:1::1/80", "dev", "wan2")
    expect(check(lab), "overlap", "warning", "lan0", "wan2")


def test_equal_metrics(lab):
    lab.rtr.ip("route", "append", "default", "via", "198.51.100.1", "dev", "wan2", "metric", "10")
    expect(check(lab), "equal-metric", "warning", "metric 10")


def test_ipv6_leak_and_prefixes(lab):
    expect(check(lab), "ipv6-leak", "warning", "wan")
    expect(check(lab, gateway6="auto"), "ipv6-prefix", "warning", "2 uplinks")


def test_ipv6_without_gateway(lab):
    lab.rtr.ip("-6", "route", "del", "default", "dev", "wan2")
    expect(check(lab, gateway6="auto", nat6="yes"), "ipv6-gateway", "warning", "isp2")


def test_mss(lab):
    lab.rtr.ip("link", "set", "wan2", "mtu", "1492")
    expect(check(lab), "mss", "warning", "wan2", "1492")
    lab.rtr.nft("""
        table inet fw {
          chain forward {
            type filter hook forward priority 0
            oifname "wan2" tcp flags syn tcp option maxseg size set rt mtu
          }
        }""")
    assert "mss" not in check(lab)


# --- ip rules and tables ------------------------------------------------------------------------

@pytest.mark.parametrize("rule,ident,level", [
    ("pref 7101 from 10.0.0.7 lookup 99", "rule-preference", "fatal"),
    ("pref 40102 from 10.0.0.7 lookup 99", "rule-preference", "fatal"),
    ("pref 90 fwmark 0x100 lookup 99", "mark-clash", "fatal"),           # mask 0xffffffff
    ("pref 90 fwmark 0x3/0xf lookup 99", "mark-clash", "fatal"),
    ("pref 90 fwmark 0/0x80 lookup 99", "mark-clash", "fatal"),
    ("pref 90 fwmark 0x300/0x3f00 lookup 99", None, None),
    ("pref 2001 fwmark 0x100/0x3f00 lookup 1", "mwan3", "fatal"),
    ("pref 90 lookup 99", "rule-order", "warning"),
    ("pref 90 from 10.0.0.7 lookup 99", None, None),
    ("pref 2 lookup main", "rule-order", "warning"),  # a container of RouterOS 7.22
    ("pref 32000 lookup main", None, None),
    ("pref 32764 not fwmark 0xca6c lookup 51820", "rule-order", "warning"),  # wg-quick
    ("pref 32765 lookup main suppress_prefixlength 0", None, None)])
def test_ip_rules(lab, rule, ident, level):
    lab.rtr.ip("rule", "add", *rule.split())
    traps = check(lab, gateway6="auto", nat6="yes")
    if ident:
        expect(traps, ident, level, f"ip rule {rule.split()[1]}" if ident != "mwan3" else "mwan3")
        assert len(traps) == 1
    else:
        assert traps == {}


def test_ipv6_rules_count_too(lab):
    lab.rtr.ip("-6", "rule", "add", "pref", "90", "fwmark", "0x100", "lookup", "99")
    expect(check(lab), "mark-clash", "fatal", "ip rule 90")


def test_table_in_use(lab):
    lab.rtr.ip("route", "add", "192.0.2.128/25", "dev", "wan2", "table", "7101")
    expect(check(lab), "table", "fatal", "7101", "isp2")


# --- nf_tables of others ------------------------------------------------------------------------

def rule_in(chain, rule):
    return f"table inet other {{\nchain c {{\n{chain}\n{rule}\n}}\n}}\n"


PREROUTING = "type filter hook prerouting priority -140"
FORWARD = "type filter hook forward priority 0"


@pytest.mark.parametrize("chain,rule,ident,level", [
    (PREROUTING, "meta mark set 0x10", "mark-clash", "fatal"),
    (PREROUTING, "meta mark set meta mark | 0x100", None, None),
    (PREROUTING, "meta mark set meta mark & 0xffff00ff | 0x1200", None, None),
    (PREROUTING, "meta mark set meta mark | 0x80", "mark-clash", "fatal"),
    (PREROUTING, "meta mark set meta mark & 0xfffffff0", "mark-clash", "fatal"),
    (PREROUTING, "meta mark set ct mark", "mark-clash", "fatal"),
    (FORWARD, "meta mark set 0x10", "mark-clash", "warning"),
    (FORWARD, "ct mark set 0x10", "mark-clash", "fatal"),
    (FORWARD, "ct mark set ct mark | 0x10000", None, None),
    (PREROUTING, "ct mark set meta mark", "mark-clash", "fatal"),
    (PREROUTING, "meta mark set ip saddr map { 10.0.0.7 : 0x100 }", "mark-clash", "fatal"),
    (FORWARD, "meta mark 0x10 counter", "mark-compare", "warning"),
    (FORWARD, "meta mark & 0xff00 == 0x100 counter", None, None),
    (FORWARD, "ip daddr 192.0.2.7 tcp dport 22 counter accept", None, None),
    ("", "meta mark set 0x10", "mark-clash", "fatal"),
    ("type filter hook prerouting priority -300", "ip saddr 10.0.0.7 notrack", "notrack", "warning")])
def test_rules_of_others(lab, chain, rule, ident, level):
    lab.rtr.nft(rule_in(chain, rule))
    traps = check(lab, gateway6="auto", nat6="yes")
    if ident:
        expect(traps, ident, level, "chain c in table inet other")
        assert len(traps) == 1, traps
    else:
        assert traps == {}


def test_another_field_ends_the_clash(lab):
    lab.rtr.nft(rule_in(PREROUTING, "meta mark set meta mark & 0xffffff00 | 0x10"))
    assert "mark-clash" in check(lab)
    assert "mark-clash" not in check(lab, mark_field="0xff0000")


@pytest.mark.parametrize("argv,clashes", [
    (["-j", "MARK", "--set-mark", "0x10"], True),
    (["-j", "MARK", "--set-xmark", "0x100/0xff00"], False),
    (["-j", "CONNMARK", "--save-mark"], True),
    (["-j", "CONNMARK", "--restore-mark", "--nfmask", "0xff00", "--ctmask", "0xff00"], False)])
def test_rules_of_iptables(lab, argv, clashes):
    lab.rtr.run("iptables-nft", "-t", "mangle", "-A", "PREROUTING", *argv)
    traps = check(lab, gateway6="auto", nat6="yes")
    assert ("mark-clash" in traps) == clashes, traps


def test_iptables_legacy(lab):
    lab.rtr.run("iptables-legacy", "-t", "mangle", "-A", "PREROUTING", "-j", "MARK", "--set-mark", "0x10")
    expect(check(lab), "iptables-legacy", "warning", "mangle")


def test_snat(lab):
    lab.rtr.nft("""
        table ip other {
          chain post {
            type nat hook postrouting priority 90
            oifname "wan1" snat to 192.0.2.2
          }
        }""")
    assert "snat" not in check(lab)
    lab.rtr.nft("""
        table ip other {
          chain post {
            ip saddr 10.0.0.0/24 snat to 192.0.2.2
          }
        }""")
    expect(check(lab), "snat", "warning", "chain post in table ip other")


def test_no_nat(lab):
    expect(check(lab, nat2="no"), "no-nat", "warning", "isp2")
    lab.rtr.nft("""
        table ip other {
          chain post {
            type nat hook postrouting priority 90
            oifname "wan*" masquerade
          }
        }""")
    assert "no-nat" not in check(lab, nat2="no")


@pytest.mark.parametrize("match,is_found", [
    ('oifname "wan1" accept', True), ('oifname { "lan0", "wan1" } accept', True),
    ('oifname { "wan1", "wan2" } accept', False), ('oifname "wan*" accept', False), ('iifname "lan0" accept', False)])
def test_forward_policy(lab, match, is_found):
    lab.rtr.nft(rule_in(FORWARD + "; policy drop", match))
    traps = check(lab)
    assert ("forward-policy" in traps) == is_found, traps
    if is_found:
        expect(traps, "forward-policy", "warning", "wan2", "chain c of table inet other")


def test_mwan3(lab):
    lab.rtr.nft("table ip mangle {\nchain mwan3_hook {\n}\n}")
    expect(check(lab), "mwan3", "fatal", "mwan3_hook")


def test_a_ruleset_of_a_size(lab):
    """fw4 with many zones, or a blocklist: it is read in parts."""
    rules = "\n".join(f"ip saddr 10.{n // 250}.{n % 250}.0/24 counter accept" for n in range(4000))
    lab.rtr.nft(rule_in(FORWARD, rules + "\nmeta mark set 0x10"))
    expect(check(lab), "mark-clash", "warning")
    assert "jaga" not in nft(lab, "list", "tables")
