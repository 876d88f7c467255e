"""Packets through the simulated router: PCC, recursive routes with check-gateway, address-lists with time-outs, NAT."""
import librouteros
import pytest

from tests.rosim.laboratory import ADDRESSES, MANGLE, NAT, Lab, routes, wait_for

TUNED = "/routing settings set check-gateway-ping-interval=200ms check-gateway-ping-timeout=200ms check-gateway-ping-count=2\n"


@pytest.fixture
def net(request, tmp_path):
    personality, script = request.param
    net = Lab(tmp_path, personality, script)
    yield net
    net.close()


SIX = ("6.49", ADDRESSES + routes("routing-mark") + MANGLE + NAT)
SEVEN = ("7.21", ADDRESSES + TUNED + routes("routing-table") + MANGLE + NAT)


@pytest.mark.parametrize("net", [SIX, SEVEN], indirect=True, ids=["6.49", "7.21"])
def test_connections_are_shared(net):
    wait_for("a way to the internet", lambda: net.answers("10.9.1.1"))
    used = net.providers_of(24)
    assert len(used) == 24 and 4 <= used.count(1) <= 20


@pytest.mark.parametrize("net", [SEVEN], indirect=True, ids=["7.21"])
def test_recursive_routes_fail_over_by_themselves(net):
    wait_for("a way to the internet", lambda: net.answers("10.9.2.1"))
    api = net.router.connect()
    net.cut(1)
    wait_for("the route over provider 1 has ended", lambda: [
        row["active"] for row in api.path("ip", "route") if row["gateway"] == "203.0.113.1" and row["distance"] == 1][0] is False)
    assert set(net.providers_of(6)) == {2}
    net.mend(1)
    wait_for("both are used again", lambda: set(net.providers_of(8)) == {1, 2})


@pytest.mark.parametrize("net", [SEVEN], indirect=True, ids=["7.21"])
def test_an_address_list_steers_until_it_expires(net):
    wait_for("both are used", lambda: set(net.providers_of(8)) == {1, 2})
    api = net.router.connect()
    before = "".join(reply.get("ret", "") for reply in api.rawCmd("/execute", "=script=/export", "=as-string="))
    api.path("ip", "firewall", "address-list").add(list="isp1-down", address="0.0.0.0/0", timeout="9s")
    assert set(net.providers_of(8)) == {2}
    after = "".join(reply.get("ret", "") for reply in api.rawCmd("/execute", "=script=/export", "=as-string="))
    assert before.split("\n", 1)[1] == after.split("\n", 1)[1]  # no configuration was written
    wait_for("both are used again", lambda: set(net.providers_of(8)) == {1, 2})


@pytest.mark.parametrize("net", [SEVEN], indirect=True, ids=["7.21"])
def test_connections_are_seen_and_forgotten(net):
    wait_for("a way to the internet", lambda: net.answers("10.9.1.1"))
    api = net.router.connect()
    net.providers_of(4)
    rows = list(api.path("ip", "firewall", "connection"))
    assert {row["connection-mark"] for row in rows if "connection-mark" in row} <= {"ISP-1", "ISP-2"}
    assert any(row["dst-address"] == "10.9.1.1:9" for row in rows)
    for row in rows:
        if row["dst-address"] == "10.9.1.1:9":
            api.path("ip", "firewall", "connection").remove(row[".id"])
    assert not any(row["dst-address"] == "10.9.1.1:9" for row in api.path("ip", "firewall", "connection"))


@pytest.mark.parametrize("net", [SEVEN], indirect=True, ids=["7.21"])
def test_what_cannot_be_forwarded_is_refused(net):
    mangle = net.router.connect().path("ip", "firewall", "mangle")
    count = len(list(mangle))
    with pytest.raises(librouteros.exceptions.TrapError, match="forwards no packets by hotspot"):
        mangle.add(chain="prerouting", action="mark-connection", **{"new-connection-mark": "x", "hotspot": "auth"})
    assert len(list(mangle)) == count


MARK_ALL = ("/ip firewall mangle\nadd action=mark-routing chain=prerouting in-interface=ether3 new-routing-mark=to-ISP1\n")


@pytest.mark.parametrize("net", [(SIX[0], SIX[1] + MARK_ALL), (SEVEN[0], SEVEN[1] + MARK_ALL)], indirect=True, ids=["6.49", "7.21"])
def test_with_7_a_mark_goes_before_the_router_itself(net):
    wait_for("a way to the internet", lambda: net.answers("10.9.1.1"))
    assert net.answers("192.168.88.1") == (net.personality == "6.49")
