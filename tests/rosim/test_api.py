"""The simulated router's API, asked by a client that was not written here (python3-librouteros)."""
import concurrent.futures
import contextlib
import random
import re
import socket
import subprocess
import sys

import librouteros
import pytest
from librouteros.query import Key

from tests.rosim import chr, wire
from tests.rosim.conntrack import enter_namespace

HOST = "127.0.0.1"


def free_port():
    """One that the kernel gives to no client by itself (ip_local_port_range begins at 32768)."""
    while True:
        port = random.randrange(20000, 32000)
        with contextlib.suppress(OSError), socket.create_server((HOST, port)):
            return port


class Rosim:
    def __init__(self, personality, *options, host=HOST, inside=None):
        """inside: the network namespace whose address `host` is."""
        self.host, self.inside = host, inside
        if chr.is_asked():
            chr.take(self, personality, options)
            return
        self.port = free_port()
        self.process = subprocess.Popen(
            [*(["ip", "netns", "exec", inside] if inside else []),
             sys.executable, "tests/rosim/rosim", "--personality", personality, "--api", f"{host}:{self.port}",
             "--password", "secret", *options], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def connect(self, password="secret", username="admin", **options):
        """A socket belongs to the namespace in which it was made, wherever it is used."""
        def connect():
            if self.inside:
                enter_namespace(self.inside)
            return librouteros.connect(host=self.host, port=self.port, username=username, password=password, timeout=10, **options)
        with concurrent.futures.ThreadPoolExecutor(1) as thread:
            return thread.submit(connect).result()

    def stop(self):
        if self.process:  # else it is RouterOS, and goes on
            self.process.terminate()
            self.process.wait(10)


@pytest.fixture(params=("6.49", "7.16", "7.20"))
def rosim(request):
    router = Rosim(request.param)
    router.personality = request.param
    yield router
    router.stop()


def test_add_select_update_remove(rosim):
    addresses = rosim.connect().path("ip", "address")
    number = addresses.add(address="10.1.1.1/24", interface="ether1")
    assert list(addresses.select(Key("address"), Key("network")).where(Key("interface") == "ether1")) == [
        {"address": "10.1.1.1/24", "network": "10.1.1.0"}]
    addresses.update(**{".id": number, "comment": "a comment"})
    assert [row["comment"] for row in addresses] == ["a comment"]
    addresses.remove(number)
    assert list(addresses) == []


def test_refusals(rosim):
    addresses = rosim.connect().path("ip", "address")
    with pytest.raises(librouteros.exceptions.TrapError, match="input does not match any value of interface"):
        addresses.add(address="10.1.1.1/24", interface="ether99")
    with pytest.raises(librouteros.exceptions.TrapError, match="unknown parameter"):
        addresses.add(address="10.1.1.1/24", interface="ether1", color="red")
    with pytest.raises(librouteros.exceptions.TrapError, match="no such command"):
        list(rosim.connect().path("ip", "nothing"))


def test_a_user_does_what_his_group_may(rosim):
    api = rosim.connect()
    for name, group in (("looker", "read"), ("writer", "write")):
        api.path("user").add(name=name, group=group, password="secret")
    looker, writer = (rosim.connect(username=name) for name in ("looker", "writer"))
    assert [row["name"] for row in looker.path("system", "identity")] == ["MikroTik"]
    with pytest.raises(librouteros.exceptions.TrapError, match="not enough permissions"):
        looker.path("ip", "address").add(address="10.1.1.1/24", interface="ether1")
    writer.path("ip", "address").add(address="10.1.1.1/24", interface="ether1")
    with pytest.raises(librouteros.exceptions.TrapError, match="not enough permissions"):
        writer.path("user").add(name="another", group="full")
    with pytest.raises(librouteros.exceptions.TrapError, match="not enough permissions"):
        list(writer.rawCmd("/system/backup/save", "=name=x"))
    if rosim.personality != "6.49":
        (reply,) = looker.rawCmd("/execute", "=script=/ip address remove [find]", "=as-string=")
        assert reply["ret"].startswith("not enough permissions (9)")
    assert len(list(api.path("ip", "address"))) == 1


def test_an_entry_with_a_time_out_takes_another(rosim):
    entries = rosim.connect().path("ip", "firewall", "address-list")
    number = entries.add(list="x", address="10.0.0.0/8", timeout="1m")
    entries.update(**{".id": number, "timeout": "1h"})
    assert [(row["address"], row["dynamic"], row["timeout"]) for row in entries] == [("10.0.0.0/8", True, "1h")]


def test_wrong_password(rosim):
    with pytest.raises(librouteros.exceptions.TrapError, match="invalid user name|cannot log in"):
        rosim.connect(password="wrong")


def test_old_login():
    rosim = Rosim("6.49", "--old-login")
    try:
        api = rosim.connect(login_method=librouteros.login.token)
        assert [row["name"] for row in api.path("system", "identity")] == ["MikroTik"]
        with pytest.raises(librouteros.exceptions.TrapError):
            rosim.connect(password="wrong", login_method=librouteros.login.token)
    finally:
        rosim.stop()


def test_a_script_tells_its_error_as_text(rosim):
    api = rosim.connect()
    if rosim.personality == "6.49":
        with pytest.raises(librouteros.exceptions.TrapError, match="unknown parameter"):
            list(api.rawCmd("/execute", "=script=:put x", "=as-string="))
        return
    (reply,) = api.rawCmd("/execute", "=script=:put hello\n:error bad", "=as-string=")
    assert reply["ret"].startswith("hello\r\nbad")


def test_an_empty_answer_says_so_from_7_18_on(rosim):
    with socket.create_connection((HOST, rosim.port), 10) as raw:
        raw.sendall(wire.encode_sentence(["/login", "=name=admin", "=password=secret"]) +
                    wire.encode_sentence(["/ip/address/print", ".tag=7"]))
        data = b""
        while data.count(b"!done") < 2:
            data += raw.recv(4096)
    assert (b"\x06!empty\x06.tag=7\x00" in data) == (rosim.personality == "7.20")


def test_listen_tells_changes_and_ends(rosim):
    with socket.create_connection((HOST, rosim.port), 10) as raw:
        def read_until(text):
            nonlocal data
            while text not in data:
                piece = raw.recv(4096)
                assert piece, data
                data += piece
        data = b""
        raw.sendall(wire.encode_sentence(["/login", "=name=admin", "=password=secret"]))
        read_until(b"!done")
        raw.sendall(wire.encode_sentence(["/ip/address/listen", ".tag=5"]) +
                    wire.encode_sentence(["/ip/address/add", "=address=10.0.0.1/24", "=interface=ether1", ".tag=6"]))
        read_until(b"!re\x06.tag=5")
        read_until(b"!done\x06.tag=6")
        number = re.search(rb"=ret=(\*[0-9A-F]+)", data).group(1).decode()
        raw.sendall(wire.encode_sentence(["/ip/address/remove", "=.id=" + number, ".tag=7"]))
        read_until(b"=.dead=yes" if rosim.personality == "6.49" else b"=.dead=true")
        raw.sendall(wire.encode_sentence(["/cancel", "=tag=5", ".tag=8"]))
        read_until(b"=message=interrupted")
        read_until(b"!done\x06.tag=8")


def test_safe_mode_undoes_what_a_lost_session_did():
    rosim = Rosim("7.20")
    try:
        api = rosim.connect()
        list(api.rawCmd("/safe-mode/take"))
        api.path("ip", "address").add(address="10.0.0.1/24", interface="ether1")
        api.close()
        other = rosim.connect()
        assert list(other.path("ip", "address")) == []
        list(other.rawCmd("/safe-mode/take"))
        other.path("ip", "address").add(address="10.0.0.2/24", interface="ether1")
        list(other.rawCmd("/safe-mode/release"))
        other.close()
        assert [row["address"] for row in rosim.connect().path("ip", "address")] == ["10.0.0.2/24"]
        with pytest.raises(librouteros.exceptions.TrapError, match="no such command"):
            older = Rosim("7.16")
            try:
                list(older.connect().rawCmd("/safe-mode/take"))
            finally:
                older.stop()
    finally:
        rosim.stop()


def test_safe_mode_ends_without_a_word_past_a_hundred_actions_of_anybody():
    rosim = Rosim("7.20")
    try:
        api, other = rosim.connect(), rosim.connect()
        list(api.rawCmd("/safe-mode/take"))
        lists = other.path("ip", "firewall", "address-list")
        for number in range(101):
            lists.add(address=f"203.0.113.{number}", list="many")
        with pytest.raises(librouteros.exceptions.TrapError, match="safe mode is not taken"):
            list(api.rawCmd("/safe-mode/unroll"))
        list(other.rawCmd("/safe-mode/take"))  # it is free
        assert len(list(lists)) == 101
    finally:
        rosim.stop()


def test_backup_brings_back_what_was(rosim):
    api = rosim.connect()
    list(api.rawCmd("/system/backup/save", "=name=before", "=password=p"))
    api.path("ip", "address").add(address="10.0.0.1/24", interface="ether1")
    with pytest.raises(Exception):
        list(api.rawCmd("/system/backup/load", "=name=before", "=password=p"))
    assert list(rosim.connect().path("ip", "address")) == []


def test_files_are_read_in_pieces(rosim):
    api = rosim.connect()
    list(api.rawCmd("/export", "=file=all"))
    (row,) = api.path("file").select(Key("name"), Key("size")).where(Key("name") == "all.rsc")
    size = int(row["size"])
    if rosim.personality == "6.49":
        with pytest.raises(librouteros.exceptions.TrapError, match="no such command"):
            list(api.rawCmd("/file/read", "=file=all.rsc", "=offset=0", "=chunk-size=100"))
        return
    text = ""
    while len(text) < size:
        (reply,) = api.rawCmd("/file/read", "=file=all.rsc", f"=offset={len(text)}", "=chunk-size=100")
        assert 0 < len(reply["data"]) <= 100
        text += reply["data"]
    assert text.startswith("# ") and "by RouterOS 7." in text
