"""What OpenSSL, a DTLS client that is not ours, can agree on with the collector: one suite, or nothing."""
import os
import pathlib
import shutil
import socket
import subprocess

import pytest

BUILD = pathlib.Path(__file__).resolve().parents[2] / os.environ.get("JAGA_BUILD", "build/host")
KEY = "42" * 32
OURS = "ECDHE-PSK-CHACHA20-POLY1305"
TIMEOUT_S = 20


@pytest.fixture(name="port")
def fixture_port():
    """The collector's own CoAP server (tests/fake/collector.c steers only what it answers)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    with subprocess.Popen([BUILD / "tests/fake/collector", str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        yield port
        process.stdin.close()
        process.wait(TIMEOUT_S)


def shake(port, *options, key=KEY, identity="dev1"):
    """(what OpenSSL says, whether it got a session)"""
    result = subprocess.run([shutil.which("openssl"), "s_client", "-dtls1_2", "-connect", f"127.0.0.1:{port}",
                             "-psk_identity", identity, "-psk", key, *options],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            errors="replace", timeout=TIMEOUT_S, check=False)
    return result.stdout, result.returncode == 0 and "Cipher is (NONE)" not in result.stdout


def test_our_suite_is_agreed(port):
    """The control: what the other tests refuse fails for the reason that they name."""
    said, ok = shake(port, "-cipher", OURS)
    assert ok and f"Cipher is {OURS}" in said


@pytest.mark.parametrize("suite", [
    "PSK-CHACHA20-POLY1305", "PSK-AES128-GCM-SHA256", "PSK-AES256-GCM-SHA384", "PSK-AES128-CCM8",
    "DHE-PSK-CHACHA20-POLY1305", "ECDHE-PSK-AES128-CBC-SHA256", "RSA-PSK-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
])
def test_any_other_suite_is_refused(port, suite):
    said, ok = shake(port, "-cipher", f"{suite}@SECLEVEL=0")
    assert not ok and "handshake failure" in said, said


def test_the_best_suite_is_not_talked_down(port):
    said, ok = shake(port, "-cipher", f"PSK-AES128-CCM8:{OURS}@SECLEVEL=0")
    assert ok and f"Cipher is {OURS}" in said


def test_another_curve_is_refused(port):
    said, ok = shake(port, "-cipher", OURS, "-groups", "P-256")
    assert not ok, said


def test_wrong_key_and_unknown_identity_look_alike(port):
    wrong, ok = shake(port, "-cipher", OURS, key="43" * 32)
    assert not ok and "bad record mac" in wrong, wrong
    unknown, ok = shake(port, "-cipher", OURS, identity="stranger")
    assert not ok and "bad record mac" in unknown, unknown
