"""
SSH of a simulated router, by python3-paramiko's server side: exec, the terminal, SCP and SFTP.

Each client has threads of its own; every command is carried out on the loop's thread (Terminal.run), where the router lives.
"""
import concurrent.futures
import os
import re
import socket
import threading

import paramiko

from .commands import Rebooted
from .errors import Trap
from .parser import Parser
from .script import Ended, Interpreter

class Terminal:
    """One session's interpreter: its menu and variables live as long as it does."""

    def __init__(self, service):
        self.service = service
        self.router, self.commands = service.router, service.commands
        self.interpreter = Interpreter(self.router, self.commands)
        self.menu = "/"

    def prompt(self, user):
        place = self.menu if self.router.version[0] == 7 else "/" + self.menu.strip("/").replace("/", " ")
        return f"[{user}@{self.router.settings['/system/identity']['name']}]{'' if self.menu == '/' else ' ' + place} > "

    def type(self, line):
        """What a line prints; a failure is a line of it."""
        parser = Parser(self.router, self.commands, line)
        parser.menu = self.menu
        self.interpreter.output = []
        try:
            body = parser.statements()
            self.menu = parser.menu
            self.interpreter.execute(body)
        except Ended:
            pass
        except Trap as trap:
            self.interpreter.put(trap.message)
        return "\r\n".join(self.interpreter.output)

    def run(self, line):
        return self.service.on_loop(self.type, line)


class Files(paramiko.SFTPServerInterface):
    """The router's files, flat as they are there."""

    def __init__(self, server, *args, **kwargs):
        super().__init__(server, *args, **kwargs)
        self.service = server.service

    @staticmethod
    def name(path):
        return path.lstrip("/")

    def attributes(self, name):
        found = paramiko.SFTPAttributes()
        found.filename = name
        found.st_size = len(self.service.router.files[name])
        found.st_mode = 0o100644
        return found

    def list_folder(self, path):
        return [self.attributes(name) for name in sorted(self.service.router.files)]

    def stat(self, path):
        if self.name(path) in ("", "."):
            found = paramiko.SFTPAttributes()
            found.st_mode = 0o040755
            return found
        return self.attributes(self.name(path)) if self.name(path) in self.service.router.files else paramiko.SFTP_NO_SUCH_FILE

    lstat = stat

    def open(self, path, flags, attr):
        name, service = self.name(path), self.service
        is_write = flags & (os.O_WRONLY | os.O_RDWR)
        if not is_write and name not in service.router.files:
            return paramiko.SFTP_NO_SUCH_FILE
        handle = paramiko.SFTPHandle(flags)
        data = bytearray(b"" if is_write and flags & os.O_TRUNC else service.router.files.get(name, b""))
        handle.read = lambda offset, length: bytes(data[offset:offset + length])

        def write(offset, piece):
            data[offset:offset + len(piece)] = piece
            return paramiko.SFTP_OK

        def close():
            if is_write:
                service.on_loop(service.router.write_file, name, bytes(data))

        handle.write, handle.close = write, close
        handle.stat = lambda: self.stat(path)
        return handle

    def remove(self, path):
        return paramiko.SFTP_OK if self.service.router.files.pop(self.name(path), None) is not None else paramiko.SFTP_NO_SUCH_FILE


class Login(paramiko.ServerInterface):
    def __init__(self, service):
        self.service = service
        self.user = None

    def check_auth_password(self, username, password):
        """A name may carry a terminal's wishes: admin+ct200w is admin."""
        self.user = username.split("+")[0]
        known = {item["name"]: item.get("password", "") for item in self.service.router.items("/user")
                 if item.get("disabled") != "yes"}
        if self.user in known and known[self.user] == password:
            return paramiko.AUTH_SUCCESSFUL
        return paramiko.AUTH_FAILED

    def get_allowed_auths(self, _username):
        return "password"

    def check_channel_request(self, kind, _number):
        return paramiko.OPEN_SUCCEEDED if kind == "session" else paramiko.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED

    def check_channel_pty_request(self, *_args):
        return True

    def check_channel_window_change_request(self, *_args):
        return True

    def check_channel_shell_request(self, channel):
        self.service.thread(self.service.shell, channel, self.user)
        return True

    def check_channel_exec_request(self, channel, command):
        channel.get_transport().after_answer = (self.service.execute, channel, command.decode("utf-8", "surrogateescape"))
        return True


class Transport(paramiko.Transport):
    """One client. The command of an exec starts when the client has its yes: its end must not come first."""

    after_answer = None

    def _send_user_message(self, data):
        super()._send_user_message(data)
        if self.after_answer and threading.current_thread() is self:
            target, self.after_answer = self.after_answer, None
            Service.thread(*target)


class Service:
    def __init__(self, router, commands, loop, on_reboot=lambda: None):
        self.router, self.commands, self.loop = router, commands, loop
        self.on_reboot = on_reboot
        self.key = paramiko.RSAKey.generate(2048)
        self.transports = []

    @staticmethod
    def thread(target, *args):
        threading.Thread(target=target, args=args, daemon=True).start()

    def on_loop(self, function, *args):
        """The result of function, called where the router lives."""
        done = concurrent.futures.Future()

        def call():
            try:
                done.set_result(function(*args))
            except Exception as error:  # handed to the thread that waits
                done.set_exception(error)

        self.loop.call_soon_threadsafe(call)
        return done.result()

    # --- sessions -------------------------------------------------------------------------------------

    def listen(self, host, port):
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.thread(self.accept, listener)

    def accept(self, listener):
        while True:
            client, _ = listener.accept()
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.thread(self.serve, client)

    def serve(self, client):
        transport = Transport(client)
        transport.add_server_key(self.key)
        transport.set_subsystem_handler("sftp", paramiko.SFTPServer, Files)
        login = Login(self)
        self.transports.append(transport)
        try:
            transport.start_server(server=login)
            transport.join()
        except (paramiko.SSHException, EOFError, ConnectionError):
            transport.close()

    def reboot(self):
        for transport in self.transports:
            transport.close()
        self.transports.clear()
        self.on_reboot()

    def execute(self, channel, command):
        try:
            if command.startswith("scp "):
                Scp(self, channel).run(command.split())
            else:
                text = Terminal(self).run(command)
                channel.sendall((text + "\r\n").encode("utf-8", "surrogateescape") if text else b"")
            channel.send_exit_status(0)
            channel.close()
        except Rebooted:
            self.reboot()
        except (OSError, EOFError):
            channel.close()

    def shell(self, channel, user):
        """The echo, the prompt and lines: what scripts that drive a terminal look for."""
        terminal = Terminal(self)
        try:
            channel.sendall(f"\r\n\r\n  MikroTik RouterOS {self.router.version_text}\r\n\r\n" + terminal.prompt(user))
            line = ""
            while data := channel.recv(1024).decode("utf-8", "surrogateescape"):
                for piece in re.findall(r"[\r\n]|[^\r\n]+", data):  # echoed as it came, not a packet for each character
                    if piece not in "\r\n":
                        line += piece
                        channel.sendall(piece)
                        continue
                    # The line is shown again behind its prompt; LF is another, empty, line: so Netmiko has met it.
                    channel.sendall(f"\r\n{terminal.prompt(user)}{line}\r\n" if line else "\r\n")
                    if line.strip() in ("quit", "/quit"):
                        channel.close()
                        return
                    text = terminal.run(line) if line.strip() else ""
                    line = ""
                    channel.sendall((text + "\r\n" if text else "") + terminal.prompt(user))
        except Rebooted:
            self.reboot()
        except (OSError, EOFError):
            channel.close()


class Scp:
    """The rcp protocol behind `scp`: one file either way."""

    def __init__(self, service, channel):
        self.service, self.channel = service, channel

    def expect_ok(self):
        if self.channel.recv(1) != b"\0":
            raise EOFError("scp: the other side gave up")

    def read_exactly(self, length):
        data = b""
        while len(data) < length:
            piece = self.channel.recv(min(32768, length - len(data)))
            if not piece:
                raise EOFError("scp: cut off")
            data += piece
        return data

    def run(self, words):
        name = words[-1].lstrip("/")
        if "-f" in words:
            self.give(name)
        elif "-t" in words:
            self.take(name)

    def give(self, name):
        self.expect_ok()
        data = self.service.router.files.get(name)
        if data is None:
            self.channel.sendall(f"\x01scp: {name}: No such file or directory\n")
            return
        self.channel.sendall(f"C0644 {len(data)} {name.rsplit('/', 1)[-1]}\n")
        self.expect_ok()
        self.channel.sendall(data + b"\0")
        self.expect_ok()

    def take(self, name):
        self.channel.sendall(b"\0")
        header = b""
        while not header.endswith(b"\n"):
            header += self.read_exactly(1)
        if not header.startswith(b"C"):
            self.channel.sendall(b"\x01scp: only files\n")
            return
        _, size, own_name = header.decode().split(maxsplit=2)
        self.channel.sendall(b"\0")
        data = self.read_exactly(int(size))
        self.expect_ok()
        name = own_name.strip() if name in ("", ".") else name
        try:
            self.service.on_loop(self.service.router.write_file, name, data)
            self.channel.sendall(b"\0")
        except Trap as trap:
            self.channel.sendall(f"\x01scp: {trap.message}\n")
