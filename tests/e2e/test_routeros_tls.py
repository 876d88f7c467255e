"""The RouterOS driver over TLS: whom the agent gives its password to, and what it says to those it does not.

`jaga-agent --check` opens a session, reads the router and ends: a router on loopback is enough."""
import hashlib
import os
import socket
import ssl
import struct
import subprocess
import threading

import pytest

from tests.lab.programs import build_dir
from tests.rosim.test_api import HOST, Rosim, free_port

DAY_S = 24 * 3600


def openssl(*arguments, **options):
    return subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, **options).stdout


class Certificate:
    """A self-signed one unless an authority signs it; key and certificate in one PEM file."""

    def __init__(self, folder, name, alt_name=f"IP:{HOST}", days=30, authority=None, key=("rsa:2048",)):
        self.pem, self.cert, key_path = folder / f"{name}.pem", folder / f"{name}.crt", folder / f"{name}.key"
        extensions = ["-addext", f"subjectAltName={alt_name}"] if alt_name else ["-addext", "basicConstraints=critical,CA:TRUE"]
        signer = ["-CA", authority.cert, "-CAkey", authority.key] if authority else []
        openssl("req", "-x509", "-newkey", *key, "-nodes", "-keyout", key_path, "-out", self.cert, "-days", days,
                "-subj", f"/CN={name}", *extensions, *signer)
        self.key = key_path
        self.pem.write_text(key_path.read_text() + self.cert.read_text())
        self.pin = hashlib.sha256(ssl.PEM_cert_to_DER_cert(self.cert.read_text())).hexdigest()


@pytest.fixture(name="certificate", scope="module")
def fixture_certificate(tmp_path_factory):
    return Certificate(tmp_path_factory.mktemp("tls"), "router")


class Agent:
    def __init__(self, folder, port):
        self.folder, self.port = folder, port
        (folder / "password").write_text("secret\n")

    def check(self, *lines, clock_s=None):
        """jaga-agent --check with these lines in [router]; clock_s: how far the wall clock is off."""
        conf, env = self.folder / "agent.conf", dict(os.environ)
        conf.write_text("\n".join([
            "[agent]", f"state_dir = {self.folder}", f"socket = {self.folder}/agent.sock", "[router]", "driver = routeros",
            f"address = {HOST}:{self.port}", "user = admin", f"password_file = {self.folder}/password", *lines,
            "[lan]", "interfaces = ether3", "[uplink isp1]", "interface = ether1", "source = 192.0.2.1", "targets = 198.51.100.1",
            ""]))
        if clock_s is not None:
            (self.folder / "clock").write_bytes(struct.pack("=q", clock_s))
            env |= {"LD_PRELOAD": str(build_dir() / "tests/fake/wallclock.so"), "JAGA_WALLCLOCK": str(self.folder / "clock"),
                    "ASAN_OPTIONS": "verify_asan_link_order=0"}
        return subprocess.run([build_dir() / "jaga-agent", "--config", conf, "--check"], text=True, capture_output=True,
                              check=False, timeout=30, env=env)

    @staticmethod
    def pin_of(port):
        return subprocess.run([build_dir() / "jaga-agent", "--pin", f"{HOST}:{port}"], text=True, capture_output=True,
                              check=False, timeout=30)


class Place:
    """A folder, an agent and simulated routers in it."""

    def __init__(self, folder):
        self.folder, self.routers = folder, []

    def agent_of(self, *options, personality="7.20"):
        port = free_port()
        self.routers.append(Rosim(personality, "--api-ssl", f"{HOST}:{port}", *map(str, options)))
        return Agent(self.folder, port)


@pytest.fixture(name="place")
def fixture_place(tmp_path):
    place = Place(tmp_path)
    yield place
    for router in place.routers:
        router.stop()


def was_read(done):
    """The agent was let in and saw the router: it misses uplink and LAN addresses, or nothing."""
    return done.returncode in (0, 3) and done.stderr == ""


def refusal(done, port):
    assert done.returncode == 1, done
    head = f"jaga-agent: the router cannot be checked: router {HOST}:{port}: "
    assert done.stderr.startswith(head), done.stderr
    return done.stderr[len(head):].strip()


# --- accepted ------------------------------------------------------------------------------------

def test_the_pin_is_shown_and_then_trusted(place, certificate):
    agent = place.agent_of("--certificate", certificate.pem)
    shown = agent.pin_of(agent.port)
    assert shown.returncode == 0 and shown.stderr == ""
    assert f"presented by {HOST}:{agent.port}: CN=router, valid from " in shown.stdout
    assert shown.stdout.splitlines()[-2:] == ["tls = pinned", f"pin = {certificate.pin}"]
    assert was_read(agent.check(*shown.stdout.splitlines()))  # as it was printed


@pytest.mark.parametrize("personality, options", [("7.16", []), ("6.49", ["--dhe-only"]), ("6.49", ["--old-login"])])
def test_versions(place, certificate, personality, options):
    agent = place.agent_of("--certificate", certificate.pem, *options, personality=personality)
    assert was_read(agent.check("tls = pinned", f"pin = {certificate.pin.upper()}"))


def test_a_key_on_a_curve(place, tmp_path):
    own = Certificate(tmp_path, "curve", key=("ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"))
    agent = place.agent_of("--certificate", own.pem)
    assert was_read(agent.check("tls = pinned", f"pin = {own.pin}"))
    assert was_read(agent.check("tls = verified", f"ca_file = {own.cert}"))


def test_a_pin_outlives_dates_and_names(place, tmp_path):
    own = Certificate(tmp_path, "old", alt_name="DNS:elsewhere.example", days=1)
    agent = place.agent_of("--certificate", own.pem)
    for clock_s in (2 * DAY_S, -40 * 365 * DAY_S):
        assert was_read(agent.check("tls = pinned", f"pin = {own.pin}", clock_s=clock_s))


def test_an_authority_vouches(place, tmp_path):
    authority = Certificate(tmp_path, "authority", alt_name=None)
    own = Certificate(tmp_path, "router", authority=authority)
    agent = place.agent_of("--certificate", own.pem)
    assert was_read(agent.check("tls = verified", f"ca_file = {authority.cert}"))
    # A clock that nobody has set proves nothing about dates.
    assert was_read(agent.check("tls = verified", f"ca_file = {authority.cert}", clock_s=-40 * 365 * DAY_S))


# --- refused -------------------------------------------------------------------------------------

class Listener:
    """A TLS server that is no router: what did it get to read before the agent hung up?"""

    def __init__(self, certificate):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.pem)
        self.context, self.read = context, b""
        self.socket = socket.create_server((HOST, 0))
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        client, _ = self.socket.accept()
        with client:
            try:
                with self.context.wrap_socket(client, server_side=True) as tls:
                    self.read = tls.recv(1000)
            except OSError:
                pass  # refused: as it should be

    def close(self):
        self.socket.close()
        self.thread.join(20)


def test_another_certificate_gets_no_password(tmp_path, certificate):
    other = Certificate(tmp_path, "router")
    for lines, why in ((["tls = pinned", f"pin = {certificate.pin}"], "is not the pinned one"),
                       (["tls = verified", f"ca_file = {certificate.cert}"], "leads to no authority of ca_file")):
        listener = Listener(other)
        said = refusal(Agent(tmp_path, listener.port).check(*lines), listener.port)
        listener.close()
        assert why in said and listener.read == b"", said
    # The control: the password goes to whom it should.
    listener = Listener(other)
    Agent(tmp_path, listener.port).check("tls = pinned", f"pin = {other.pin}")
    listener.close()
    assert b"=password=secret" in listener.read


def test_an_expired_certificate_is_told_with_its_date(place, tmp_path):
    own = Certificate(tmp_path, "old", days=1)
    expires = openssl("x509", "-in", own.cert, "-noout", "-enddate", "-dateopt", "iso_8601", text=True).split("=")[1][:10]
    agent = place.agent_of("--certificate", own.pem)
    said = refusal(agent.check("tls = verified", f"ca_file = {own.cert}", clock_s=2 * DAY_S), agent.port)
    assert said == f"the router's certificate is refused: its certificate expired on {expires}"


def test_an_expired_authority_is_told(place, tmp_path):
    authority = Certificate(tmp_path, "authority", alt_name=None, days=1)
    own = Certificate(tmp_path, "router", authority=authority)
    agent = place.agent_of("--certificate", own.pem)
    said = refusal(agent.check("tls = verified", f"ca_file = {authority.cert}", clock_s=2 * DAY_S), agent.port)
    assert "the certificate of its authority expired on" in said


def test_everything_that_is_wrong_is_told(place, certificate, tmp_path):
    own = Certificate(tmp_path, "other", alt_name="IP:192.0.2.9", days=1)
    agent = place.agent_of("--certificate", own.pem)
    said = refusal(agent.check("tls = verified", f"ca_file = {certificate.cert}", clock_s=2 * DAY_S), agent.port)
    for why in ("expired on", "leads to no authority of ca_file", "is not made out for this address"):
        assert why in said


def test_a_router_without_certificate(place):
    agent = place.agent_of()
    for done in (agent.check("tls = pinned", f"pin = {'0' * 64}"), agent.pin_of(agent.port)):
        assert done.returncode == 1 and f"router {HOST}:{agent.port}: it " in done.stderr
        assert "has api-ssl a certificate?" in done.stderr
        assert "/ip service set api-ssl certificate=api" in done.stderr


def test_the_plain_api_is_not_tls(place):
    agent = place.agent_of()
    agent.port = place.routers[0].port
    assert "8729" in refusal(agent.check("tls = pinned", f"pin = {'0' * 64}"), agent.port)


@pytest.mark.parametrize("content, why", [(None, "No such file"), ("nonsense", "holds no certificate in PEM form"),
                                          ("x" * 70000, "larger than")])
def test_a_wrong_ca_file(place, certificate, tmp_path, content, why):
    agent = place.agent_of("--certificate", certificate.pem)
    if content:
        (tmp_path / "ca.pem").write_text(content)
    said = refusal(agent.check("tls = verified", f"ca_file = {tmp_path}/ca.pem"), agent.port)
    assert f"ca_file {tmp_path}/ca.pem" in said and why in said


def test_anonymous_is_refused_with_an_explanation(tmp_path):
    done = Agent(tmp_path, 1).check("tls = anonymous")
    assert done.returncode == 2
    assert "[router] tls: 'anonymous' proves nothing" in done.stderr and "/ip service set api-ssl certificate=" in done.stderr
