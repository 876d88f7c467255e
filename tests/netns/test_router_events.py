"""What the driver does when the world moves: carrier, addresses, gateways, interfaces that vanish, lost
messages, other programs that flush the ruleset; adoption after a crash, and take-overs that fail."""
import re

import pytest

from tests.lab.lab import INTERNET, UPLINKS, wait_until
from tests.lab.programs import Flows
from tests.netns.router import CommandFailed, RouterCtl, TABLES, full_state, nft, routes, rules, ruleset, strace

BY = {1: UPLINKS[1]["address"], 2: UPLINKS[2]["address"]}
UP, NO_ADDRESS, NO_CARRIER = "carrier=1 address=1", "carrier=1 address=0", "carrier=0 address=1"


@pytest.fixture
def ctl(lab):
    one = RouterCtl(lab)
    one.run("take_over")
    return one


def default(lab, number, family="-4"):
    """Gateway of the uplink's own default route in its table, or None."""
    lines = [line for line in routes(lab, TABLES[number - 1], family) if f"dev wan{number}" in line]
    match = re.search(r"via (\S+)", lines[0]) if lines else None
    return match[1] if match else None


# --- carrier, addresses, gateways ---------------------------------------------------------------

def test_carrier(lab, ctl):
    lab.cut("i")
    ctl.wait_event(f"uplink=0 {NO_CARRIER}")
    assert ctl.run("state 0") == {"carrier": "0", "address": "1"}
    lab.restore()
    ctl.wait_event(f"uplink=0 {UP}")
    assert ctl.events == []


def test_interface_down_and_up_gets_its_routes_back(lab, ctl):
    """`ip link set down` takes routes away silently."""
    lab.rtr.ip("link", "set", "wan1", "down")
    ctl.wait_event(f"uplink=0 {NO_CARRIER}")
    wait_until(lambda: not default(lab, 1), 5, "no route through wan1")
    lab.rtr.ip("link", "set", "wan1", "up")
    # Its main route is gone, as it is until a DHCP client runs again; what was learnt of the gateway is not.
    ctl.wait_event(f"uplink=0 {UP}")
    wait_until(lambda: default(lab, 1) == "192.0.2.1", 5, "route through wan1")


def test_carrier_loss_flushes_ipv6_and_it_comes_back(lab):
    """Pitfall 3: the address goes with the carrier; when a person sets it again, the route follows."""
    ctl = RouterCtl(lab, gateway6="2001:db8:1::1", gateway6b="2001:db8:2::1")
    ctl.run("take_over")
    assert default(lab, 1, "-6") == "2001:db8:1::1"
    lab.rtr.ip("addr", "del", "2001:db8:1::2/64", "dev", "wan1")
    wait_until(lambda: not default(lab, 1, "-6"), 5, "no IPv6 route through wan1")
    lab.cut("i")
    ctl.wait_event(f"uplink=0 {NO_CARRIER}")
    lab.restore()
    lab.rtr.ip("addr", "add", "2001:db8:1::2/64", "dev", "wan1", "nodad")
    ctl.wait_event(f"uplink=0 {UP}")
    wait_until(lambda: default(lab, 1, "-6") == "2001:db8:1::1", 5, "IPv6 route through wan1")


def test_kernel_steps_over_a_dead_carrier_without_an_agent(lab, ctl):
    """ignore_routes_with_linkdown and the second route of each table: no program is needed for that."""
    ctl.program.kill()
    lab.cut("i")
    wait_until(lambda: lab.rtr.ip("route", "show", "table", TABLES[0]).count("linkdown") == 1, 5, "linkdown")
    answer = Flows(lab).open(60)
    assert answer == {"opened": 60, "failed": 0, "by": {BY[2]: 60}}


def test_address_goes_and_comes(lab, ctl):
    lab.rtr.ip("addr", "del", "198.51.100.2/24", "dev", "wan2")
    ctl.wait_event(f"uplink=1 {NO_ADDRESS}")
    wait_until(lambda: not default(lab, 2), 5, "no route through wan2")
    lab.rtr.ip("addr", "add", "198.51.100.2/24", "dev", "wan2")
    lab.rtr.ip("route", "add", "default", "via", "198.51.100.1", "dev", "wan2", "metric", "20")
    ctl.wait_event(f"uplink=1 {UP}")
    wait_until(lambda: default(lab, 2) == "198.51.100.1", 5, "route through wan2")


def test_gateway_changes(lab, ctl):
    """A DHCP client learns another router: ours follows. Without any it keeps the last."""
    lab.rtr.ip("route", "replace", "default", "via", "192.0.2.77", "dev", "wan1", "metric", "10")
    wait_until(lambda: default(lab, 1) == "192.0.2.77", 5, "route via 192.0.2.77")
    wait_until(lambda: "default via 192.0.2.77 dev wan1 proto 74 metric 2 onlink" in routes(lab, TABLES[1]), 5,
               "the second route via 192.0.2.77")
    lab.rtr.ip("route", "del", "default", "dev", "wan1")
    lab.rtr.ip("route", "add", "default", "via", "192.0.2.1", "dev", "wan1", "metric", "10")
    wait_until(lambda: default(lab, 1) == "192.0.2.1", 5, "route via 192.0.2.1")
    assert ctl.events == []


def test_gateway_in_another_table_and_as_multipath(lab):
    """Wherever the DHCP client put it."""
    lab.rtr.ip("route", "del", "default", "dev", "wan1")
    lab.rtr.ip("route", "del", "default", "dev", "wan2")
    ctl = RouterCtl(lab)
    assert ctl.run("state 0") == {"carrier": "1", "address": "0"}
    lab.rtr.ip("route", "add", "default", "via", "192.0.2.1", "dev", "wan1", "table", "1001")
    ctl.wait_event(f"uplink=0 {UP}")
    lab.rtr.ip("route", "add", "default", "nexthop", "via", "192.0.2.5", "dev", "wan1", "nexthop", "via", "198.51.100.1",
               "dev", "wan2")
    ctl.wait_event(f"uplink=1 {UP}")
    ctl.run("take_over")
    assert default(lab, 1) == "192.0.2.5"  # main before other tables


def test_configured_gateway_and_none(lab):
    ctl = RouterCtl(lab, gateway1="192.0.2.9", gateway2="none")
    ctl.run("take_over")
    assert routes(lab, TABLES[0])[0] == "default via 192.0.2.9 dev wan1 proto 74 metric 1 onlink"
    assert routes(lab, TABLES[1])[0] == "default dev wan2 proto 74 scope link metric 1"


def test_gateway_from_a_router_advertisement(lab):
    """Its address is link-local, the same on every line."""
    for number in (1, 2):
        lab.isp(number).ip("addr", "add", "fe80::1/64", "dev", "cpe", "nodad")
        lab.rtr.ip("-6", "route", "replace", "default", "via", "fe80::1", "dev", f"wan{number}", "proto", "ra",
                   "metric", f"{number}0")
    ctl = RouterCtl(lab, gateway6="auto", nat6="yes")
    ctl.run("take_over")
    assert default(lab, 1, "-6") == "fe80::1" and default(lab, 2, "-6") == "fe80::1"
    answer = Flows(lab).open(60, 6)
    assert answer["failed"] == 0 and len(answer["by"]) == 2


def test_gateway_of_another_family_is_not_learnt(lab):
    """IPv4 by way of an IPv6 gateway: no address to copy; the route serves as found."""
    lab.rtr.ip("route", "del", "default", "dev", "wan1")
    lab.rtr.ip("-4", "route", "add", "default", "via", "inet6", "2001:db8:1::1", "dev", "wan1", "metric", "10")
    assert RouterCtl(lab).run("state 0") == {"carrier": "1", "address": "0"}


def test_no_default_route_in_main(lab):
    """A DHCP client that sets none, or in a table of its own: users and the router get out all the same."""
    for number in (1, 2):
        for family in ("-4", "-6"):
            lab.rtr.ip(family, "route", "del", "default", "dev", f"wan{number}")
    assert not lab.rtr.ping(INTERNET[0])
    ctl = RouterCtl(lab, gateway1="192.0.2.1", gateway2="198.51.100.1")
    ctl.run("take_over")
    answer = Flows(lab).open(100)
    assert answer["failed"] == 0 and set(answer["by"]) == set(BY.values())
    for address in INTERNET[:6]:
        assert lab.rtr.ping(address)


def test_interface_vanishes_and_returns_with_another_index(lab, ctl):
    """As a PPPoE interface does."""
    was = lab.rtr.ip("link", "show", "dev", "wan1").split(":")[0]
    lab.rtr.ip("link", "del", "wan1")
    ctl.wait_event("uplink=0 carrier=0 address=0")
    lab._veth(lab.rtr, "wan1", lab.isp1, "cpe")
    lab.isp1.ip_batch(["link set cpe up", "addr add 192.0.2.1/24 dev cpe"])
    lab.rtr.ip_batch(["link set wan1 up", "addr add 192.0.2.2/24 dev wan1", "route add default via 192.0.2.1 metric 10"])
    ctl.wait_event(f"uplink=0 {UP}")
    assert lab.rtr.ip("link", "show", "dev", "wan1").split(":")[0] != was
    wait_until(lambda: default(lab, 1) == "192.0.2.1", 5, "route through the new wan1")
    assert lab.rtr.run("sysctl", "-n", "net.ipv4.conf.wan1.ignore_routes_with_linkdown").stdout == "1\n"
    ctl.run("apply bucket=0")
    assert Flows(lab).open(20) == {"opened": 20, "failed": 0, "by": {BY[1]: 20}}


def test_an_uplink_that_is_not_there_yet(lab):
    """A take-over does not wait for a dial-up line."""
    lab.rtr.ip("link", "del", "wan2")
    ctl = RouterCtl(lab)
    ctl.run("take_over bucket=0 live=0,0")
    assert routes(lab, TABLES[1]) == ["default via 192.0.2.1 dev wan1 proto 74 metric 2 onlink"]
    assert Flows(lab).open(20)["opened"] == 20


def test_our_route_deleted_by_another_returns(lab, ctl):
    lab.rtr.ip("route", "flush", "table", TABLES[0])
    wait_until(lambda: len(routes(lab, TABLES[0])) == 2, 5, "both routes are back")
    lab.rtr.ip("rule", "del", "pref", "7101")
    wait_until(lambda: len(rules(lab, ours=True)) == 5, 5, "the rule is back")


def test_overrun(lab, ctl):
    """Lost messages cost a resync, not the truth."""
    ctl.run("overrun")
    lab.cut("i")
    lab.rtr.ip_batch([f"addr add 198.51.100.{n}/32 dev wan2" for n in range(100, 250)])
    wait_until(lambda: "LOWER_UP" not in lab.rtr.ip("link", "show", "wan1"), 5, "no carrier")
    ctl.run("state 0")  # and the loop goes on
    ctl.program.wait_log(r"netlink overrun, resyncing", 5)
    ctl.wait_event(f"uplink=0 {NO_CARRIER}")
    ctl.wait_event(f"uplink=1 {UP}")  # every uplink is reported again


def test_many_routes_do_not_disturb(lab, ctl):
    """A full table passes by: only default routes reach the driver."""
    ctl.run("overrun")
    lab.rtr.ip_batch([f"route add 100.{n // 250}.{n % 250}.0/24 via 192.0.2.1" for n in range(3000)])
    ctl.run("state 0")
    lab.cut("i")
    ctl.wait_event(f"uplink=0 {NO_CARRIER}")
    assert "overrun" not in ctl.program.read_log()


def test_ruleset_flushed_by_another_program(lab, ctl):
    """nft -f with `flush ruleset` at its head, as Debian's service does."""
    ctl.run("apply bucket=1 live=1,1")
    before = ruleset(lab)
    lab.rtr.nft("flush ruleset\ntable inet filter {\n}")
    ctl.program.wait_log(r"another program \(nft, pid \d+\) flushed the ruleset, installed ours again", 5)
    wait_until(lambda: "table inet jaga" in ruleset(lab), 5, "our table is back")
    assert ctl.run("read_plan")["live"] == "1,1"
    assert before in ruleset(lab)
    # Again at once: not sooner than a second after the first time.
    lab.rtr.nft("flush ruleset")
    wait_until(lambda: "table inet jaga" in ruleset(lab), 5, "our table is back again")


# --- adoption -----------------------------------------------------------------------------------

def handles(lab):
    return lab.rtr.run("nft", "-a", "list", "ruleset").stdout


def test_crash_and_adoption(lab, ctl):
    flows = Flows(lab)
    assert flows.open(100)["opened"] == 100
    ctl.run("apply live=1,1 bucket=1")
    before, state = handles(lab), full_state(lab)
    ctl.program.kill()
    assert full_state(lab) == state  # the last plan stays in force
    again = RouterCtl(lab)
    plan = again.run("read_plan")
    assert plan["live"] == "1,1" and set(plan["bucket"].split(",")) == {"1"}
    assert again.run("take_over live=1,1 bucket=1") == {"adopted": "1"}
    assert handles(lab) == before  # not a rule was replaced
    assert again.run("take_over") == {"adopted": "1"}  # adopts, then makes the difference
    assert again.run("read_plan")["live"] == "0,1"
    assert flows.check()["alive"] == 100
    assert "table inet jaga" in handles(lab)


@pytest.mark.parametrize("spoil", [
    "delete element inet jaga live { 1 }",
    "flush chain inet jaga steer",
    "add rule inet jaga prerouting drop",
    "delete table ip jaga",
    "add element inet jaga bucket { 99 : goto bind_0 }",
    "add chain inet jaga x; delete element inet jaga bucket { 5 }; add element inet jaga bucket { 5 : goto x }"])
def test_a_spoilt_plan_is_replaced(lab, ctl, spoil):
    whole = ruleset(lab)
    ctl.program.kill()
    lab.rtr.nft(spoil)
    again = RouterCtl(lab)
    with pytest.raises(CommandFailed, match="ENOENT"):
        again.run("read_plan")
    assert again.run("take_over") == {"adopted": "0"}
    assert ruleset(lab) == whole


@pytest.mark.parametrize("change", [{"hash": "source"}, {"nat2": "no"}, {"mark_field": "0xff00"}])
def test_another_configuration_replaces_the_plan(lab, ctl, change):
    ctl.close()
    again = RouterCtl(lab, **change)
    with pytest.raises(CommandFailed, match="ENOENT"):
        again.run("read_plan")
    assert again.run("take_over") == {"adopted": "0"}
    again.run("apply bucket=0")
    assert Flows(lab).open(20)["opened"] == 20
    again.run("remove")
    assert "jaga" not in ruleset(lab) and rules(lab, ours=True) == []


def test_flows_of_uplinks_that_changed_places_start_anew(lab, ctl):
    """A mark means a number of the configuration; after a reordering it would mean another line."""
    flows = Flows(lab)
    assert flows.open(60)["opened"] == 60
    ctl.close()
    conf = ctl.conf.read_text().replace("wan1", "wanX").replace("wan2", "wan1").replace("wanX", "wan2")
    RouterCtl(lab, conf).run("take_over")
    assert lab.rtr.run("conntrack", "-C").stdout.strip() == "0"


# --- all or nothing -----------------------------------------------------------------------------

def test_refused_take_over_changes_nothing(lab):
    """The kernel refuses the transaction, the last step of a take-over: all steps before it are undone."""
    lab.rtr.sysctl(net__ipv4__conf__wan1__rp_filter=1)
    owner = lab.rtr.start("owner", "/usr/bin/python3", "-c", OWNER)
    owner.wait_log("owned", 5)
    before = full_state(lab)
    ctl = RouterCtl(lab)
    with pytest.raises(CommandFailed, match="EPERM"):
        ctl.run("take_over")
    assert full_state(lab) == before
    owner.stop()
    wait_until(lambda: "jaga" not in ruleset(lab), 5, "the owner's table goes with it")
    ctl.run("take_over")
    assert Flows(lab).open(20)["opened"] == 20


# A table that belongs to a socket (NFT_TABLE_F_OWNER): nobody else may touch it.
OWNER = """
import socket, struct, time
def attr(kind, data): return struct.pack("HH", 4 + len(data), kind) + data + b"\\0" * (-len(data) % 4)
def message(kind, flags, body, family=0, resource=0):
    body = struct.pack("BBH", family, 0, socket.htons(resource)) + body
    return struct.pack("IHHII", 16 + len(body), kind, flags | 1, 1, 0) + body
sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
sock.bind((0, 0))
sock.send(message(16, 0, b"", 0, 10) + message(10 << 8, 0x404, attr(1, b"jaga\\0") + attr(2, struct.pack(">I", 2)), 1)
          + message(17, 0, b"", 0, 10))
assert struct.unpack_from("i", sock.recv(4096), 16)[0] == 0
print("owned", flush=True)
time.sleep(1000)
"""


def test_a_route_that_cannot_be_undoes_the_take_over(lab):
    """Both uplinks with the IPv6 gateway of the first: the kernel refuses one of the routes, after others."""
    lab.rtr.sysctl(net__ipv4__conf__wan1__rp_filter=1)
    before = full_state(lab)
    ctl = RouterCtl(lab, gateway6="2001:db8:1::1")
    with pytest.raises(CommandFailed, match="EINVAL.*via 2001:db8:1::1 by wan2"):
        ctl.run("take_over")
    assert full_state(lab) == before
    assert not (lab.dir / "state/sysctls").exists()


def test_all_or_nothing_whichever_request_fails(lab):
    """Each request of a take-over fails once, by fault injection: then nothing is left of it, or all is done."""
    lab.rtr.sysctl(net__ipv4__conf__wan1__rp_filter=1)
    before = full_state(lab)
    ctl = RouterCtl(lab, gateway6="auto", nat6="yes")
    tracer = strace(lab, ctl, "count", "sendto")
    ctl.run("take_over")
    tracer.stop()
    requests = tracer.read_log().count("sendto(")
    whole = full_state(lab)
    ctl.run("remove")
    ctl.close()
    assert full_state(lab) == before
    assert requests > 40  # with the doctor's
    refused = 0
    for number in range(1, requests + 1):
        ctl = RouterCtl(lab, gateway6="auto", nat6="yes")
        tracer = strace(lab, ctl, f"inject{number}", "sendto", "-e", f"inject=sendto:error=ENOMEM:when={number}")
        try:
            ctl.run("take_over")
            assert full_state(lab) == whole, number
            ctl.run("remove")
        except CommandFailed as error:
            assert error.code in ("ENOMEM", "EPERM") and error.text  # EPERM: the doctor found it
            refused += 1
        assert full_state(lab) == before, number
        tracer.stop()
        ctl.close()
    assert refused > 40


def test_a_fatal_trap_refuses(lab):
    lab.rtr.ip("rule", "add", "pref", "50", "fwmark", "0x10", "lookup", "77")
    before = full_state(lab)
    ctl = RouterCtl(lab)
    with pytest.raises(CommandFailed, match="EPERM.*mark-clash.*fwmark 0x10/0xffffffff"):
        ctl.run("take_over")
    assert full_state(lab) == before
    lab.rtr.ip("rule", "del", "pref", "50")
    assert ctl.run("take_over") == {"adopted": "0"}


def test_nothing_is_sent_when_nothing_is_installed(lab):
    ctl = RouterCtl(lab)
    before = full_state(lab)
    with pytest.raises(CommandFailed, match="EINVAL"):
        ctl.run("apply")
    with pytest.raises(CommandFailed, match="ENOENT"):
        ctl.run("read_plan")
    assert full_state(lab) == before
    assert lab.rtr.ping(INTERNET[0])
    assert "jaga" not in nft(lab, "list", "tables")
