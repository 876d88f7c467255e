"""The bills of materials: valid by CycloneDX's own schema, true about the artefact, complete, and the same every time.

The schema comes from Debian's package of CycloneDX's library and the validator is python3-jsonschema: neither is ours.
What is linked into a router's agent is asked of its symbols, what a program of the host loads of its ELF header.
"""
import copy
import hashlib
import io
import json
import pathlib
import re
import subprocess
import tarfile

import jsonschema
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
SCHEMAS = BUILD / "cyclonedx"
PROGRAMS = sorted(BUILD.glob("host/jaga*.cdx.json"))
ROUTERS = [path for router in ("mips", "mipsel", "armv5", "armv7", "arm64", "x86_64")
           for path in BUILD.glob(f"{router}/jaga-agent.cdx.json")]
PACKAGES = sorted(BUILD.glob("packages/*/*.cdx.json"))
EVERY = PROGRAMS + ROUTERS + PACKAGES

# A function of each library that a router's agent cannot do without, and that no optimization makes part of another.
WITNESSES = {
    "mbedtls": "mbedtls_ssl_psk_derive_premaster", "libcoap": "coap_session_connected",
    "protobuf-c": "protobuf_c_message_unpack", "libev": "ev_run", "libinih": "ini_parse_stream", "zlib": "deflate_fast",
    "musl": "__libc_start_main",
}


def name_of(path):
    return str(path.relative_to(BUILD))


def load(path):
    return json.loads(path.read_text(encoding="utf-8"))


def symbols_of(path):
    """Names of what it defines; the compiler's clones (ev_run.constprop.0) count as what they were made of."""
    lines = subprocess.run(["nm", "--defined-only", path], capture_output=True, text=True, check=True).stdout.splitlines()
    return {line.split()[2].split(".")[0] for line in lines if len(line.split()) == 3}


def refs(document):
    return [document["metadata"]["component"]["bom-ref"], *(one["bom-ref"] for one in document["components"])]


@pytest.fixture(scope="session")
def validator():
    def schema(name):
        return load(SCHEMAS / f"{name}.SNAPSHOT.schema.json")

    bom = schema("bom-1.6")
    others = {f"http://cyclonedx.org/schema/{name}.SNAPSHOT.schema.json": schema(name) for name in ("spdx", "jsf-0.82")}
    return jsonschema.Draft7Validator(bom, resolver=jsonschema.RefResolver.from_schema(bom, store=others))


def test_there_is_a_bill_of_each_kind():
    assert {path.name for path in PROGRAMS} == {"jaga-agent.cdx.json", "jaga-collector.cdx.json", "jaga.cdx.json"}
    assert len(ROUTERS) == 6
    kinds = {"debian/*.deb": 2, "openwrt/*.apk": 2, "openwrt/*.ipk": 2, "routeros/*.tar": 4}
    for kind, count in kinds.items():
        assert len(list(BUILD.glob(f"packages/{kind}.cdx.json"))) >= count, kind


@pytest.mark.parametrize("path", EVERY, ids=name_of)
def test_it_is_valid(path, validator):
    assert [error.message for error in validator.iter_errors(load(path))] == []


@pytest.mark.parametrize("path", EVERY, ids=name_of)
def test_it_is_of_the_artefact_beside_it(path):
    document = load(path)
    artefact = path.with_name(path.name.removesuffix(".cdx.json"))
    root = document["metadata"]["component"]
    assert root["name"] == artefact.name
    assert root["hashes"] == [{"alg": "SHA-256", "content": hashlib.sha256(artefact.read_bytes()).hexdigest()}]


@pytest.mark.parametrize("path", EVERY, ids=name_of)
def test_its_graph_names_every_component_and_nothing_else(path):
    document = load(path)
    known = refs(document)
    assert len(known) == len(set(known))
    graph = {one["ref"]: one["dependsOn"] for one in document["dependencies"]}
    assert sorted(graph) == sorted(known)
    reached, waiting = set(), [known[0]]
    while waiting:
        one = waiting.pop()
        if one not in reached:
            reached.add(one)
            waiting += graph[one]
    assert reached == set(known)


@pytest.mark.parametrize("path", PROGRAMS + ROUTERS, ids=name_of)
def test_each_component_can_be_looked_up(path):
    for component in load(path)["components"]:
        assert component["version"] and component["supplier"]["name"]
        assert re.fullmatch(r"pkg:(generic|deb/debian)/[^@?]+@[^?]+\?\S+", component["purl"]), component["purl"]
        linkage = [one["value"] for one in component["properties"] if one["name"] == "jaga:linkage"]
        assert linkage in (["static"], ["shared"])
        if linkage == ["static"]:
            assert component["hashes"] and component["licenses"][0]["expression"]


@pytest.mark.parametrize("path", ROUTERS, ids=name_of)
def test_a_router_agent_holds_what_its_bill_says(path):
    assert {one["name"] for one in load(path)["components"]} == {*WITNESSES, "libgcc"}
    symbols = symbols_of(path.with_name("jaga-agent.debug"))
    assert {name for name, witness in WITNESSES.items() if witness not in symbols} == set()
    # Which part of libgcc it needs is the processor's matter.
    assert symbols & symbols_of(BUILD / f"{path.parent.name}-deps/sysroot/lib/libgcc.a")


@pytest.mark.parametrize("path", PROGRAMS, ids=name_of)
def test_a_program_of_the_host_loads_what_its_bill_says(path):
    program = path.with_name(path.name.removesuffix(".cdx.json"))
    header = subprocess.run(["readelf", "-dW", program], capture_output=True, text=True, check=True).stdout
    files = {pathlib.Path(occurrence["location"]).name for component in load(path)["components"]
             for occurrence in component.get("evidence", {}).get("occurrences", [])}
    needed = set(re.findall(r"\(NEEDED\).*\[(.+)\]", header))
    assert needed and needed <= files
    static = {one["name"] for one in load(path)["components"] if one["properties"][0]["value"] == "static"}
    assert static == (set() if program.name == "jaga" else {"mbedtls", "libcoap"})


@pytest.mark.parametrize("path", PROGRAMS[:1] + ROUTERS[:1], ids=name_of)
def test_each_patch_is_named_with_what_it_mends(path):
    for component in load(path)["components"]:
        ours = sorted(str(one.relative_to(ROOT)) for one in
                      (ROOT / "toolchain" / "patches" / component["name"]).glob("*.patch"))
        patches = component.get("pedigree", {}).get("patches", [])
        assert sorted(one["diff"]["url"] for one in patches if one["type"] == "unofficial") == \
            (ours if component["properties"][0]["value"] == "static" else [])
        assert all(one["resolves"] for one in patches)
    mended = {issue.get("id") for component in load(path)["components"]
              for one in component.get("pedigree", {}).get("patches", []) for issue in one["resolves"]}
    assert {"CVE-2025-59391", "CVE-2025-34468", "CVE-2026-29013", "CVE-2026-50581"} <= mended
    assert {f"CVE-2025-{number}" for number in range(65493, 65502)} <= mended


@pytest.mark.parametrize("path", PACKAGES, ids=name_of)
def test_a_package_lists_its_programs_with_their_parts(path):
    document = load(path)
    graph = {one["ref"]: one["dependsOn"] for one in document["dependencies"]}
    programs = graph[document["metadata"]["component"]["bom-ref"]]
    assert programs
    for program in programs:
        assert graph[program], f"{program} is made of nothing"
    package = path.with_name(path.name.removesuffix(".cdx.json"))
    if package.suffix in UNPACKERS:
        digests = {one["hashes"][0]["content"] for one in document["components"] if one["bom-ref"] in programs}
        assert digests == programs_in(UNPACKERS[package.suffix](package.read_bytes()))


def damage(document, how):
    if how == "no type":
        del document["components"][0]["type"]
    elif how == "unknown field":
        document["components"][0]["colour"] = "red"
    elif how == "short hash":
        document["metadata"]["component"]["hashes"][0]["content"] = "abc"
    elif how == "unknown patch type":
        next(one for one in document["components"] if "pedigree" in one)["pedigree"]["patches"][0]["type"] = "good"
    elif how == "serial number":
        document["serialNumber"] = "1234"
    elif how == "twice the same":
        document["components"].append(copy.deepcopy(document["components"][0]))


@pytest.mark.parametrize("how", ["no type", "unknown field", "short hash", "unknown patch type", "serial number",
                                 "twice the same"])
def test_a_broken_bill_is_refused(how, validator):
    document = load(BUILD / "host" / "jaga-agent.cdx.json")
    damage(document, how)
    assert list(validator.iter_errors(document))


def members(data):
    """[(name, content)] of a tar, packed or not."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return [(one.name, archive.extractfile(one).read()) for one in archive if one.isfile()]


def member(data, ending):
    return next(content for name, content in members(data) if name.endswith(ending))


def unpack_deb(data):
    return members(subprocess.run(["dpkg-deb", "--fsys-tarfile", "/dev/stdin"], input=data, capture_output=True,
                                  check=True).stdout)


# An .apk of version 3 is no tar; tests/openwrt reads those.
UNPACKERS = {
    ".tar": lambda data: members(member(data, "layer.tar")),
    ".ipk": lambda data: members(member(data, "data.tar.gz")),
    ".deb": unpack_deb,
}


def programs_in(files):
    return {hashlib.sha256(content).hexdigest() for _, content in files if content.startswith(b"\x7fELF")}


def run_sbom(*arguments):
    return subprocess.run([ROOT / "toolchain" / "sbom.py", *map(str, arguments)], capture_output=True, text=True,
                          timeout=60)


MBEDTLS = ("--component", "name=mbedtls", "version=3.6.6", "supplier=A", "license=MIT", "file=mbedtls.tar.bz2",
           f"sha256={'0' * 64}")


def test_it_is_the_same_every_time_and_another_for_another_artefact(tmp_path):
    common = ("--version", "1.0", "--time", "1000000000", *MBEDTLS)
    for directory, content in (("one", "same"), ("two", "same"), ("three", "other")):
        (tmp_path / directory).mkdir()
        (tmp_path / directory / "program").write_text(content)
        (tmp_path / directory / "elf").write_bytes((BUILD / "host" / "jaga").read_bytes())
        ran = run_sbom("binary", tmp_path / directory / "elf", tmp_path / directory / "elf.json", *common)
        assert ran.returncode == 0, ran.stderr
        ran = run_sbom("package", tmp_path / directory / "program", tmp_path / directory / "out.json", *common[:4],
                       "--holds", tmp_path / directory / "elf.json")
        assert ran.returncode == 0, ran.stderr
    first, second, third = (tmp_path / name / "out.json" for name in ("one", "two", "three"))
    assert first.read_bytes() == second.read_bytes()
    assert load(first)["metadata"]["timestamp"] == "2001-09-09T01:46:40Z"
    assert load(first)["serialNumber"] != load(third)["serialNumber"]


def test_it_stops_when_it_does_not_know_enough(tmp_path):
    """A bill with a hole would pass for a complete one."""
    unlicensed = [word for word in MBEDTLS if not word.startswith("license=")]
    ran = run_sbom("binary", BUILD / "host" / "jaga", tmp_path / "out", "--version", "1", "--time", "1", *unlicensed)
    assert ran.returncode != 0
    assert "mbedtls: versions.mk does not say its license" in ran.stderr
    assert not (tmp_path / "out").exists()
