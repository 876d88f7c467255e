"""Every print and listen that the driver sends says which properties it wants: a router's whole tables are more than either side can
bear. What is heard is the wire between the real agent and a simulated router."""
import asyncio
import collections

import pytest

from tests.e2e.ros_site import Site, Wire
from tests.rosim.wire import read_sentence


class Ear(Wire):
    """Keeps what the agent says, each session by itself."""

    def __init__(self, *args):
        self.sessions = collections.defaultdict(bytes)
        super().__init__(*args)

    def pass_on(self, target, data, is_agent):
        if is_agent:
            self.sessions[target] += data
        super().pass_on(target, data, is_agent)

    async def sentences(self):
        found = []
        for data in list(self.sessions.values()):
            stream = asyncio.StreamReader()
            stream.feed_data(data)
            stream.feed_eof()
            while (words := await read_sentence(stream)) is not None:
                found.append(words)
        return found


class Place(Site):
    make_wire = Ear


@pytest.mark.parametrize("personality", ["6.49", "7.20"])
def test_every_print_says_what_it_wants(tmp_path, personality):
    site = Place(tmp_path, personality)
    try:
        site.start()
        assert site.push("/ip address add address=10.1.1.1/24 interface=ether1\n", confirm_s=90)["state"] == "confirmed"
        assert site.push(":error no\n", confirm_s=90)["state"] == "rolled-back"
        assert site.cli.run("doctor", "rtr1", check=False).stdout
        asked = [words for words in asyncio.run(site.wire.sentences()) if words[0].endswith(("/print", "/listen"))]
    finally:
        site.end()
    assert {"/system/resource/print", "/interface/print", "/ppp/active/listen", "/ip/firewall/mangle/print",
            "/system/scheduler/print"} <= {words[0] for words in asked}
    assert [words for words in asked if not any(word.startswith("=.proplist=") for word in words)] == []
