"""What tests of the collector alone share: the collector on loopback and the devices of a test as fixtures, and clients of its control socket
that are no `jaga`."""
import socket
import time

import pytest

from tests.e2e.devices import Devices, LoopbackCollector

RESPONSIVE_S = 8  # another client's request is answered within this, before the ten seconds in which a silent one is dropped


@pytest.fixture
def collector(tmp_path):
    one = LoopbackCollector(tmp_path)
    yield one.start()
    one.end()


@pytest.fixture
def devices(collector):
    one = Devices(collector)
    yield one
    one.end()


def assert_responsive(collector):
    began = time.monotonic()
    collector.ctl(op="devices")
    assert time.monotonic() - began < RESPONSIVE_S


def connect(collector):
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(collector.socket))  # without a time-out: a full queue is waited for
    client.settimeout(60)
    return client


def read_all(client):
    data = b""
    while chunk := client.recv(65536):
        data += chunk
    return data
