"""The compatibility rule of proto/README.md, both ways, with protoc as the other side.

An extended jaga.proto (new fields in every message, new enum values, a new kind of event) stands for
a later release. Its messages are read by our decoder, and ours by it and by protoc.
"""
import importlib
import os
import re
import subprocess
import sys

import pytest
from google.protobuf import text_format

BUILD = os.environ.get("JAGA_BUILD", "build/host")
WIRETOOL = f"{BUILD}/tests/proto/wiretool"

SAMPLES = {
    "Hello": 'boot_id: "0123456789abcdef" agent_version: "0.1.0" driver: "linux" job_hiwater: 7 caps: "scripts.unsigned" '
             'hostname: "rb951" uplinks { name: "isp1" interface: "wan1" weight: 60 tier: 1 state: UPLINK_STATE_UP }',
    "HelloAck": "time_ms: 1790000000000 keepalive_s: 25 epoch: 18446744073709551615 retry_after_s: 0",
    "TelemetryBatch": 'boot_id: "0123456789abcdef" seq_from: 3 seq_to: 4 dropped_events: 1 sent_at_ms: 99 '
                      'events { seq: 3 at_ms: 5 uplink { uplink: "isp1" from: UPLINK_STATE_UP to: UPLINK_STATE_DOWN '
                      'cause: UPLINK_CAUSE_PROBES probes { target: "203.0.113.1" sent: 5 lost: 5 timeout_us: 200000 } '
                      'misses: 5 misses_needed: 5 detect_us: 612000 switch_us: 300 flows_moved: 41 carried_by: "isp2" } } '
                      'events { seq: 3 watch { watch: WATCH_PPP to: WATCH_STATE_DOWN names: "ana" names: "\\377" count: 40 flaps: 1 '
                      'lasted_ms: 9 address: "10.0.0.7" caller: "m" detail: "pppoe" } } '
                      'events { seq: 3 restart { uptime_s: 9 version: "7.20.4" previous_version: "7.16" } } '
                      'samples { seq: 4 router { version: "7.20.4" uptime_s: 9 cpu_percent: 3 memory_free_bytes: 5000000000 '
                      'memory_bytes: 6000000000 disk_free_bytes: 1 disk_bytes: 2 ppp_users: 240 hotspot_users: 1 unwatched: 2 } '
                      'watches { watch: WATCH_BGP state: WATCH_STATE_UP name: "fibre" lasted_s: 60 remote_as: 46047 prefixes: 3 } '
                      'interfaces { name: "ether1" state: WATCH_STATE_UP rx_bytes: 1 tx_bytes: 2 link_downs: 3 } '
                      'modems { name: "lte1" state: WATCH_STATE_UP operator: "o" told: 15 rssi_dbm: -60 rsrp_dbm: -95 '
                      'rsrq_db: -10 sinr_db: 12 } } '
                      'samples { seq: 4 at_ms: 6 uplinks { uplink: "isp1" loss_permille: 10 rx_bytes: 1 } conntrack_count: 8 }',
    "Ack": "seq: 4",
    "Wake": "job_seq: 9 take_snapshot: true time_ms: 1790000000000",
    "DoctorReport": 'run: 7 traps { level: 2 id: "rp_filter" what: "strict" fix: "/ip settings set rp-filter=loose" } error: "e"',
    "SignedJob": 'body: "\\001\\002" signature: "s" key_id: "k"',
    "Job": 'job_id: "12" device: "r1" seq: 9 not_after_ms: -1 script: "echo hi" interpreter: "sh" confirm_s: 90',
    "JobState": 'seq: 9 phase: JOB_PHASE_FAILED exit_status: -3 output: "\\377" output_truncated: true reason: "why"',
    "ConfirmAck": "epoch: 1",
    "EnrollReq": 'token: "t" serial: "s" model: "m" pubkey: "p"',
    "EnrollRsp": 'identity: "r1" psk: "k" generation: 2',
}
NEW_FIELDS = ('  string later_text = 200;\n  repeated uint64 later_numbers = 201;\n  LaterThing later_thing = 202;\n'
              '  fixed32 later_fixed = 203;\n')


def extend(source):
    """The .proto of a later release."""
    source = re.sub(r"^(message (\w+) \{\n)", lambda m: m.group(1) + NEW_FIELDS, source, flags=re.M)
    source = re.sub(r"^(enum \w+ \{\n\s+(\w+)_UNKNOWN = 0;)", r"\1\n  \2_LATER = 99;", source, flags=re.M)
    source = source.replace("    Notice notice = 5;", "    Notice notice = 5;\n    LaterThing later_kind = 60;")
    source += "message LaterThing { bytes blob = 1; LaterThing inner = 2; }\n"
    return source.replace("package jaga.v1;", "package later.v1;")


@pytest.fixture(scope="session")
def modules(tmp_path_factory):
    folder = tmp_path_factory.mktemp("proto")
    with open("proto/jaga.proto", encoding="utf-8") as stream:
        source = stream.read()
    (folder / "ours.proto").write_text(source)
    (folder / "later.proto").write_text(extend(source))
    subprocess.run(["protoc", f"--proto_path={folder}", f"--python_out={folder}", "ours.proto", "later.proto"], check=True)
    sys.path.insert(0, str(folder))
    yield importlib.import_module("ours_pb2"), importlib.import_module("later_pb2"), folder
    sys.path.remove(str(folder))


def wiretool(mode, type_name, data):
    return subprocess.run([WIRETOOL, mode, type_name], input=data, capture_output=True, check=False)


def enrich(message):
    """Fills the fields that only the later release knows, at every level."""
    message.later_text = "from the future"
    message.later_numbers.extend([1, 2**63])
    message.later_thing.inner.blob = b"\x00\xff"
    message.later_fixed = 77
    for field, value in message.ListFields():
        if field.message_type is None or field.name.startswith("later"):
            continue
        for part in value if field.label == field.LABEL_REPEATED else [value]:
            enrich(part)
    return message


def test_samples_cover_every_message_of_a_path(modules):
    ours, _, _ = modules
    parts = {"UplinkInfo", "Event", "UplinkChange", "ProbeEvidence", "AgentStarted", "Notice", "Sample", "UplinkSample",
             "WatchChange", "RouterRestart", "RouterSample", "WatchSample", "InterfaceSample", "ModemSample",
             "DoctorTrap"}
    assert set(ours.DESCRIPTOR.message_types_by_name) == set(SAMPLES) | parts


@pytest.mark.parametrize("type_name", SAMPLES)
def test_our_decoder_reads_protoc(modules, type_name):
    ours, _, _ = modules
    message = text_format.Parse(SAMPLES[type_name], getattr(ours, type_name)())
    result = wiretool("dump", type_name, message.SerializeToString())
    assert result.returncode == 0, result.stderr
    assert text_format.Parse(result.stdout.decode(), getattr(ours, type_name)()) == message


@pytest.mark.parametrize("type_name", SAMPLES)
def test_our_decoder_reads_a_later_release(modules, type_name):
    ours, later, _ = modules
    known = text_format.Parse(SAMPLES[type_name], getattr(ours, type_name)())
    extended = enrich(text_format.Parse(SAMPLES[type_name], getattr(later, type_name)()))
    assert len(extended.SerializeToString()) > len(known.SerializeToString())
    result = wiretool("dump", type_name, extended.SerializeToString())
    assert result.returncode == 0, result.stderr
    assert text_format.Parse(result.stdout.decode(), getattr(ours, type_name)()) == known


@pytest.mark.parametrize("type_name", SAMPLES)
def test_a_later_release_reads_our_encoder(modules, type_name):
    ours, later, folder = modules
    message = text_format.Parse(SAMPLES[type_name], getattr(ours, type_name)())
    packed = wiretool("repack", type_name, message.SerializeToString())
    assert packed.returncode == 0, packed.stderr
    expected = text_format.Parse(SAMPLES[type_name], getattr(later, type_name)())
    assert getattr(later, type_name).FromString(packed.stdout) == expected
    decoded = subprocess.run(["protoc", f"--proto_path={folder}", f"--decode=later.v1.{type_name}", "later.proto"],
                             input=packed.stdout, capture_output=True, check=True)
    assert text_format.Parse(decoded.stdout.decode(), getattr(later, type_name)()) == expected


def test_unknown_enum_value_and_unknown_kind_keep_the_rest(modules):
    ours, later, _ = modules
    batch = later.TelemetryBatch(boot_id=b"0123456789abcdef", seq_from=1, seq_to=2)
    batch.events.add(seq=1).uplink.to = later.UPLINK_STATE_LATER
    batch.events.add(seq=2).later_kind.blob = b"?"
    result = wiretool("dump", "TelemetryBatch", batch.SerializeToString())
    assert result.returncode == 0, result.stderr
    known = text_format.Parse(result.stdout.decode(), ours.TelemetryBatch())
    assert [event.seq for event in known.events] == [1, 2]
    assert known.events[1].WhichOneof("kind") is None


@pytest.mark.parametrize("data", [b"\xff", b"\x0a\x7f", b"\x22\x02\x08", b"\x0a\xff\xff\xff\xff\x0f"])
def test_malformed_bytes_are_refused(data):
    assert wiretool("dump", "TelemetryBatch", data).returncode == 1
