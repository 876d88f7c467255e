"""The script language and the exports of the simulated router, without a network."""
import pytest

from tests.rosim.commands import Commands
from tests.rosim.errors import Trap
from tests.rosim.router import Router

PERSONALITIES = ("6.49", "7.16", "7.20")


class Terminal:
    def __init__(self, personality):
        self.now = 0.0
        self.router = Router(personality, clock=lambda: self.now)
        self.commands = Commands(self.router)

    def type(self, text):
        return self.commands.execute_text(text)


@pytest.fixture(params=PERSONALITIES)
def terminal(request):
    return Terminal(request.param)


@pytest.mark.parametrize("text, output", [
    (":put (1 + 2 * 3)", "7"),
    (":put (\"a\" . 1 . \"b\")", "a1b"),
    (":local x 5\n:if ($x > 3 && !($x = 4)) do={ :put yes } else={ :put no }", "yes"),
    (":foreach i in={1;2;3} do={ :put $i }", "1\r\n2\r\n3"),
    (":for i from=3 to=1 do={ :put $i }", "3\r\n2\r\n1"),
    (":do { :error \"x\" } on-error={ :put caught }", "caught"),
    (":put \"a\\\"b\\$c\\41\"", "a\"b$cA"),
    (":put \"gone: $nobody.\"", "gone: ."),
    (":local n 2; :put \"is $n\"", "is 2"),
    (":put [:len \"four\"]", "4"),
    (":put [:pick \"abcdef\" 1 3]", "bc"),
    ("/system identity set name=R1\n:put [/system identity get name]", "R1"),
    ("/system identity set name=R2\n/system identity\n:put [get name]", "R2"),
    (":put 2d11h12m", "2d11:12:00"),
    (":put (1w2d03:04:05 + 90s)", "1w2d03:05:35"),
    (":local t 1500ms; :put \"$t is a $[:typeof $t]\"", "00:00:01.500 is a time"),
    (":put ([:totime \"1d00:00:10\"] > 23h)", "true"),
    (":put [/system resource get uptime]", "00:00:00"),
    ("/system scheduler add name=5m interval=90s\n:put [/system scheduler get 5m interval]", "00:01:30"),
    (":put (\"10.0.0.1\" ~ \"^10\\\\.\")", "true"),
])
def test_language(terminal, text, output):
    assert terminal.type(text) == output


@pytest.mark.parametrize("text, error", [
    ("/ip address add addres=1.2.3.4", "expected end of command (line 1 column 17)"),
    ("\n/ip adress print", "bad command name adress (line 2 column 5)"),
    (":foo", "bad command name foo (line 1 column 2)"),
    (":put \"open", "expected closing quote (line 1 column 6)"),
    (":if (1 = 1) do={ :put x", "expected closing brace (line 1 column 24)"),
    ("/ip address print x=1", "expected end of command (line 1 column 19)"),
])
def test_what_cannot_be_read_does_nothing(terminal, text, error):
    assert terminal.type("/system identity set name=changed\n" + text) == error.replace("line 1", "line @").replace(
        "line 2", "line 3").replace("line @", "line 2")
    assert terminal.type(":put [/system identity get name]") == "MikroTik"


def test_failures_name_their_line_from_7_17_on():
    for personality, suffix in (("6.49", ""), ("7.16", ""), ("7.20", " (/ip/address/add; line 2)")):
        typed = Terminal(personality).type("\n/ip address add address=1.2.3.4/24 interface=ether99")
        assert typed == "input does not match any value of interface" + suffix
    assert Terminal("7.20").type("\n\n:error \"no disk\"") == "no disk (:error; line 3)"


@pytest.mark.parametrize("command, error", [
    ("/ip address add address=10.0.0.1/24 interface=ether1", "failure: already have such address"),
    ("/interface bridge add name=ether1", "failure: already have interface with such name"),
    ("/ip address add address=300.0.0.1/24 interface=ether1", "invalid value for argument address"),
    ("/ip address add interface=ether1", "missing value(s) of argument(s) address"),
    ("/ip address remove *99", "no such item"),
    ("/ip firewall mangle add chain=prerouting per-connection-classifier=both-addresses:2/2",
     "invalid value for argument per-connection-classifier"),
    ("/ip route add gateway=10.0.0.2 distance=256", "value of distance out of range (1..255)"),
    ("/ip route add gateway=10.0.0.2 check-gateway=pong", "input does not match any value of check-gateway"),
    ("/interface vlan add name=v interface=ether1 vlan-id=4096", "value of vlan-id out of range (1..4095)"),
    ("/ip firewall mangle add chain=prerouting in-interface-list=!nobody", "input does not match any value of in-interface-list"),
    ("/ip firewall mangle add chain=prerouting dst-address-type=locale", "input does not match any value of dst-address-type"),
    ("/ip firewall mangle add chain=prerouting hotspot=!authorised", "input does not match any value of hotspot"),
    ("/ip firewall filter add chain=input connection-state=new,old", "input does not match any value of connection-state"),
    ("/ip firewall filter add chain=input protocol=tcp dst-port=80,70000", "invalid value for argument dst-port"),
    ("/ip firewall nat add chain=srcnat ipsec-policy=none", "input does not match any value of ipsec-policy"),
    ("/ip firewall nat add chain=srcnat action=masquerade in-interface=ether1",
     "failure: incoming interface matching not possible in output and postrouting chains"),
    ("/ip firewall mangle add chain=prerouting out-interface=ether1",
     "failure: outgoing interface matching not possible in input and prerouting chains"),
    ("/ip firewall mangle add chain=forward action=mark-routing new-routing-mark=main",
     "failure: routing-mark allowed only in output and prerouting chains"),
])
def test_refusals(terminal, command, error):
    terminal.type("/ip address add address=10.0.0.1/24 interface=ether1")
    assert terminal.type(command).split(" (/")[0] == error
    assert terminal.type(":put [/ip address print count-only]").startswith("1")


@pytest.mark.parametrize("command, name", [
    ("/ip route add gateway=10.0.0.2 routing-table=nowhere", "routing-table"),
    ("/routing rule add src-address=10.0.0.3/32 table=nowhere", "table"),
    ("/ip firewall mangle add chain=prerouting action=mark-routing new-routing-mark=nowhere", "new-routing-mark"),
])
def test_with_7_a_table_is_made_before_it_is_named(command, name):
    seven = Terminal("7.16")
    assert seven.type(command) == f"input does not match any value of {name}"
    assert seven.type("/routing table add name=nowhere fib\n" + command) == ""


def test_slashes_between_menus_came_with_7():
    assert Terminal("6.49").type("/system/identity/set name=R2") == "expected end of command (line 1 column 8)"
    assert Terminal("7.16").type("/system/identity/set name=R2") == ""


def test_check_gateway_is_tuned_from_7_21_on():
    tune = "/routing settings set check-gateway-ping-interval=500ms check-gateway-ping-count=3"
    assert "expected end of command" in Terminal("7.20").type(tune)
    assert Terminal("7.21").type(tune) == ""


def test_menus_differ_by_version():
    assert Terminal("6.49").type("/ip route add gateway=1.1.1.1 routing-mark=to-ISP1") == ""
    assert "expected end of command" in Terminal("7.20").type("/ip route add gateway=1.1.1.1 routing-mark=to-ISP1")
    mark = "/ip firewall mangle add chain=prerouting action=mark-routing new-routing-mark=to-ISP1"
    assert Terminal("6.49").type(mark) == "" and "input does not match" in Terminal("7.16").type(mark)
    assert "bad command name table" in Terminal("6.49").type("/routing table add name=x fib")
    assert Terminal("7.16").type("/routing table add name=x fib\n/ip route add gateway=1.1.1.1 routing-table=x") == ""


CONFIGURATION = """/interface bridge
add name=bridge1
/interface ethernet
set [ find default-name=ether1 ] comment="to the provider; 100 Mbit/s" name=ISP1
/interface bridge port
add bridge=bridge1 interface=ether2
/ip address
add address=192.168.88.1/24 comment=LAN interface=bridge1 network=192.168.88.0
/ip firewall mangle
add action=mark-connection chain=prerouting connection-mark=no-mark dst-address-type=!local in-interface=bridge1 new-connection-mark=ISP-1 \\
    per-connection-classifier=both-addresses:2/0
/ip firewall nat
add action=masquerade chain=srcnat out-interface=ISP1
/system identity
set name=R1
/system script
add name=hello source="# a script\\r\\n:put \\"\\$x\\""
"""


def body(text):
    return "\n".join(line for line in text.replace("\r", "").split("\n") if not line.startswith("#"))


def test_an_export_is_a_script_that_makes_the_same(terminal):
    terminal.type(CONFIGURATION)
    first = body(terminal.type("/export"))
    other = Terminal(terminal.router.personality)
    assert other.type(first) == ""
    assert body(other.type("/export")) == first
    for line in CONFIGURATION.replace("\\\n    ", "").splitlines():
        assert line in first.replace("\\\n    ", ""), line


def test_lines_are_folded_as_a_terminal_is_wide(terminal):
    terminal.type(CONFIGURATION)
    lines = terminal.type("/export").split("\r\n")
    assert max(len(line) for line in lines) <= 79
    assert any(line.endswith("\\") for line in lines)


def test_import_stops_where_it_fails(terminal):
    terminal.router.files["x.rsc"] = b"/system identity\nset name=first\n/ip address\nadd address=1.2.3.4/24 interface=none\n"
    assert "input does not match any value of interface" in terminal.type("/import file-name=x.rsc")
    assert terminal.type(":put [/system identity get name]") == "first"


def test_address_list_entries_expire(terminal):
    terminal.type("/ip firewall address-list add list=down address=0.0.0.0/0 timeout=30s")
    assert terminal.type(":put [/ip firewall address-list print count-only]").startswith("1")
    assert "0.0.0.0" not in terminal.type("/export")
    terminal.now = 31
    assert terminal.type(":put [/ip firewall address-list print count-only]").startswith("0")


def test_secrets(terminal):
    terminal.type("/ppp secret add name=ana password=hush")
    plain = terminal.type("/export")
    if terminal.router.version[0] == 6:
        assert "hush" in plain and "hush" not in terminal.type("/export hide-sensitive")
        assert "unknown parameter" in terminal.type("/export show-sensitive")
    else:
        assert "hush" not in plain and "hush" in terminal.type("/export show-sensitive")
        assert "unknown parameter" in terminal.type("/export hide-sensitive")


def test_a_rule_that_becomes_impossible_stays_as_it_was(terminal):
    terminal.type("/ip firewall mangle add chain=forward action=mark-packet new-packet-mark=a in-interface=ether1")
    assert "incoming interface matching" in terminal.type("/ip firewall mangle set 0 chain=output")
    assert "chain=forward" in terminal.type("/ip firewall mangle print")


def test_a_renamed_interface_is_the_same_interface(terminal):
    terminal.type("/ip address add address=10.0.0.1/24 interface=ether1\n/interface ethernet set ether1 name=ISP1")
    assert "interface=ISP1" in terminal.type("/ip address print")


def test_no_value_is_taken_without_a_look(terminal):
    with pytest.raises(Trap, match="unknown parameter"):
        terminal.router.add("/ip/address", {"address": "1.2.3.4/24", "interface": "ether1", "color": "red"})
