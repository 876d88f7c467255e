"""
FTP of a simulated router (RFC 959): passive mode, binary, one file down at a time. As on a router the tree is flat, the user is one of
/user, and /ip/service says whether there is such a service. What it does not know it answers with 500.
"""
import asyncio


class Session:
    def __init__(self, server, reader, writer):
        self.server, self.reader, self.writer = server, reader, writer
        self.user, self.is_known = None, False
        self.listener, self.data = None, None

    def say(self, text):
        self.writer.write(text.encode() + b"\r\n")

    async def serve(self):
        service = next(item for item in self.server.router.items("/ip/service") if item["name"] == "ftp")
        try:
            if service.get("disabled") == "yes":
                return
            self.say(f"220 {self.server.router.settings['/system/identity']['name']} FTP server "
                     f"(MikroTik {self.server.router.version_text}) ready")
            while line := await self.reader.readline():
                word, _, argument = line.decode("utf-8", "surrogateescape").strip().partition(" ")
                if word.upper() == "QUIT":
                    self.say("221 Closing")
                    return
                await self.take(word.upper(), argument)
                await self.writer.drain()
        except (ConnectionError, asyncio.TimeoutError):
            pass
        finally:
            if self.listener:
                self.listener.close()
            self.writer.close()

    async def take(self, word, argument):
        if word == "USER":
            self.user, self.is_known = argument, False
            self.say(f"331 Password required for {argument}")
        elif word == "PASS":
            known = {item["name"]: item.get("password", "") for item in self.server.router.items("/user")
                     if item.get("disabled") != "yes"}
            self.is_known = self.user in known and known[self.user] == argument
            self.say(f"230 User {self.user} logged in" if self.is_known else "530 Login incorrect")
        elif not self.is_known:
            self.say("530 Login please")
        elif word == "TYPE":
            self.say(f"200 Type set to {argument}" if argument in ("A", "I") else "504 Type not implemented")
        elif word == "PASV":
            await self.listen()
        elif word == "SIZE":
            data = self.server.router.files.get(argument.lstrip("/"))
            self.say(f"213 {len(data)}" if data is not None else f"550 {argument}: no such file")
        elif word == "RETR":
            await self.give(argument.lstrip("/"))
        else:
            self.say(f"500 '{word}': command not understood")

    async def listen(self):
        if self.listener:
            self.listener.close()
        self.data = asyncio.get_running_loop().create_future()
        host = self.writer.get_extra_info("sockname")[0]

        async def on_data(_reader, writer):
            if not self.data.done():
                self.data.set_result(writer)

        self.listener = await asyncio.start_server(on_data, host, 0)
        port = self.listener.sockets[0].getsockname()[1]
        self.say(f"227 Entering Passive Mode ({host.replace('.', ',')},{port // 256},{port % 256})")

    async def give(self, name):
        data = self.server.router.files.get(name)
        if self.data is None:
            self.say("425 Use PASV first")
        elif data is None:
            self.say(f"550 {name}: no such file")
        else:
            self.say(f"150 Opening BINARY mode data connection for '/{name}' ({len(data)} bytes)")
            writer = await asyncio.wait_for(self.data, 10)
            writer.write(data)
            await writer.drain()
            writer.close()
            self.data = None
            self.say("226 BINARY transfer complete")


class FtpServer:
    def __init__(self, router):
        self.router = router

    async def start(self, host, port):
        return await asyncio.start_server(lambda reader, writer: Session(self, reader, writer).serve(), host, port)
