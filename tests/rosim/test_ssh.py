"""The simulated router's SSH, asked by python3-paramiko's client and by python3-netmiko."""
import socket

import netmiko
import paramiko
import pytest

from tests.rosim.test_api import HOST, Rosim, free_port


class SshRosim(Rosim):
    def __init__(self, personality):
        self.ssh_port = free_port()
        super().__init__(personality, "--ssh", f"{HOST}:{self.ssh_port}")

    def client(self, password="secret"):
        client = paramiko.SSHClient()
        client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
        client.connect(HOST, self.ssh_port, "admin", password, look_for_keys=False, allow_agent=False, timeout=20)
        return client


@pytest.fixture(params=("6.49", "7.20"))
def rosim(request):
    router = SshRosim(request.param)
    yield router
    router.stop()


def run(client, command):
    return client.exec_command(command, timeout=20)[1].read().decode().replace("\r", "")


def test_exec(rosim):
    with rosim.client() as client:
        assert run(client, "/system identity set name=R1") == ""
        assert run(client, ":put [/system identity get name]") == "R1\n"
        assert "name: R1" in run(client, "/system identity print")
        assert run(client, "/ip address add address=x interface=ether1").startswith("invalid value for argument address")


def test_wrong_password(rosim):
    with pytest.raises(paramiko.AuthenticationException):
        rosim.client("wrong")


def test_export_fetched_as_published(rosim):
    """Export to a file, SCP, delete: how backups are taken today. The transfer is `scp -f` by hand: nothing else is installed."""
    with rosim.client() as client:
        run(client, "/export file=backup")
        channel = client.get_transport().open_session()
        channel.exec_command("scp -f backup.rsc")
        channel.sendall(b"\0")
        header = channel.recv(200).decode()
        size = int(header.split()[1])
        channel.sendall(b"\0")
        data = b""
        while len(data) < size + 1:
            data += channel.recv(4096)
        channel.sendall(b"\0")
        assert header.startswith("C0644") and data[:-1].startswith(b"# ") and data[-1:] == b"\0"
        run(client, "/file remove backup.rsc")
        assert run(client, ":put [:len [/file find]]") == "0\n"


def test_sftp_and_import(rosim):
    with rosim.client() as client:
        with client.open_sftp() as sftp:
            with sftp.open("new.rsc", "w") as file:
                file.write("/system identity\nset name=imported\n")
            assert sftp.listdir() == ["new.rsc"]
            assert sftp.stat("new.rsc").st_size == 35
        assert "successfully" in run(client, "/import file-name=new.rsc")
        assert run(client, ":put [/system identity get name]") == "imported\n"


def test_terminal_keeps_its_menu(rosim):
    with rosim.client() as client:
        shell = client.invoke_shell()
        shell.settimeout(20)

        def until(text):
            seen = ""
            while text not in seen:
                seen += shell.recv(1024).decode()
            return seen
        until("[admin@MikroTik] > ")
        shell.send("/ip address\r")
        until("> ")
        shell.send("add address=10.0.0.1/24 interface=ether1\r")
        until("> ")
        shell.send(":put [:len [find]]\r")
        assert "\r\n1\r\n" in until("\r\n1\r\n")


def test_netmiko(rosim):
    connection = netmiko.ConnectHandler(device_type="mikrotik_routeros", host=HOST, port=rosim.ssh_port, username="admin",
                                        password="secret", timeout=20)
    try:
        connection.send_config_set(["/ip address add address=10.0.0.1/24 interface=ether1", "/system identity set name=R9"])
        assert "address=10.0.0.1/24" in connection.send_command_timing("/ip address print")
        assert "already have such address" in connection.send_command_timing(
            "/ip address add address=10.0.0.1/24 interface=ether1")
    finally:
        connection.disconnect()


def test_reboot_ends_the_session(rosim):
    with rosim.client() as client:
        with pytest.raises((EOFError, socket.error, paramiko.SSHException, AssertionError)):
            assert run(client, "/system reboot") is None
    with rosim.client() as client:
        assert run(client, ":put back") == "back\n"
