#!/usr/bin/python3
"""Writes the bill of materials of one artefact: CycloneDX 1.6, JSON, beside the artefact.

    sbom.py binary BINARY OUT --version V --time S [--component FIELD=VALUE...]...
    sbom.py package PACKAGE OUT --version V --time S [--type TYPE] [--holds SBOM...]

A binary is made of our code, of the libraries that are linked into it (--component, from toolchain/versions.mk by
toolchain/sbom.mk), and, unless it is static, of this machine's shared libraries, which are asked of ldd and dpkg. A
package is made of the binaries that it holds; their bills are merged into its own.

A component from source carries the SHA-256 of Debian's tarball and, as its pedigree, each patch that we apply with what
that patch is for: the vulnerability, or the first line of the patch, which says the need.

The same artefact makes the same bytes: the time is that of the commit, the serial number is made from the content, and
every list has an order. Called by toolchain/sbom.mk; tests/toolchain/test_sbom.py holds the result against the schema.
"""
import argparse
import functools
import hashlib
import json
import pathlib
import re
import subprocess
import sys
import time
import urllib.parse
import uuid

OURS = {"supplier": {"name": "The Jaga authors"}, "licenses": [{"expression": "Apache-2.0"}]}
CVE = re.compile(r"CVE-\d{4}-\d+")


def fail(words):
    sys.exit(f"sbom: {words}")


def sha256_of(path):
    return [{"alg": "SHA-256", "content": hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()}]


def purl(kind, name, version, **qualifiers):
    """A package URL; its qualifiers are sorted and empty ones left out, as its specification wants."""
    quoted = "&".join(f"{key}={urllib.parse.quote(value, safe=':.')}"
                      for key, value in sorted(qualifiers.items()) if value)
    return f"pkg:{kind}/{name}@{urllib.parse.quote(version, safe='.-_~')}" + (f"?{quoted}" if quoted else "")


# --- libraries that are linked in ----------------------------------------------------------

def our_patch(path):
    """A file of toolchain/patches. Its head says what it is for; vulnerabilities count more than that."""
    head = pathlib.Path(path).read_text(encoding="utf-8").split("\n--- ", 1)[0]
    title = head.strip().split("\n", 1)[0]
    found = sorted(set(CVE.findall(head)))
    resolves = [vulnerability(cve) for cve in found] or [{"type": "defect", "name": title}]
    return {"type": "unofficial", "diff": {"url": path}, "resolves": resolves}


def debian_patch(archive, name):
    """A patch of Debian's: CVE-2025-65501+65500.patch names two vulnerabilities of 2025."""
    resolves = []
    for year, numbers in re.findall(r"CVE-(\d{4})-(\d+(?:\+\d+)*)", name):
        resolves += [vulnerability(f"CVE-{year}-{number}") for number in sorted(numbers.split("+"))]
    url = f"{urllib.parse.quote(archive, safe='+')}#debian/patches/{urllib.parse.quote(name, safe='+/')}"
    return {"type": "backport", "diff": {"url": url},
            "resolves": resolves or [{"type": "defect", "name": name.removesuffix(".patch")}]}


def vulnerability(cve):
    return {"type": "security", "id": cve, "source": {"name": "CVE"}}


def source_component(words):
    """The component that FIELD=VALUE words describe (toolchain/sbom.mk lists the fields)."""
    fields = dict(word.split("=", 1) for word in words)
    for field in ("name", "version", "supplier", "license", "file", "sha256"):
        if not fields.get(field):
            fail(f"{fields.get('name') or words}: versions.mk does not say its {field}")
    name, version = fields["name"], fields["version"]
    component = {
        "type": "library", "bom-ref": f"{name}@{version}", "supplier": {"name": fields["supplier"]},
        "name": name, "version": version,
        "hashes": [{"alg": "SHA-256", "content": fields["sha256"]}],
        "licenses": [{"expression": fields["license"]}],
        "purl": purl("generic", name, version, checksum="sha256:" + fields["sha256"], file_name=fields["file"]),
        "properties": [{"name": "jaga:linkage", "value": "static"}],
    }
    if fields.get("compiler"):
        component.update(compiler_library(name, fields["compiler"]))
    if fields.get("cpe"):
        component["cpe"] = f"cpe:2.3:a:{fields['cpe']}:{version}:*:*:*:*:*:*:*"
    patches = [debian_patch(fields["fixes_file"], fix) for fix in fields.get("fixes", "").split()]
    patches += [our_patch(path) for path in fields.get("patches", "").split()]
    if patches:
        component["pedigree"] = {"patches": patches}
    return component, fields.get("needs", "").split()


# --- libraries that are linked when the program starts, from Debian ---------------------------------------

def output_of(*argv):
    ran = subprocess.run(argv, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        fail(f"{' '.join(argv)}: {ran.stderr.strip()}")
    return ran.stdout


def needed_of(path):
    """What one ELF file asks for by itself."""
    return re.findall(r"\(NEEDED\).*\[(.+)\]", output_of("readelf", "-dW", str(path)))


def shared_libraries(binary):
    """{soname: file} of all that the loader would take, with what those need in turn."""
    if not needed_of(binary):
        return {}
    found = {}
    for line in output_of("ldd", str(binary)).splitlines():
        match = re.match(r"\s*(\S+)(?: => (\S+))? \(0x", line)
        if match and not match[1].startswith("linux-vdso"):
            found[pathlib.Path(match[1]).name] = match[2] or match[1]
        elif "not found" in line:
            fail(f"{binary}: {line.strip()}")
    return found


@functools.lru_cache(maxsize=None)
def package_of(path):
    """The Debian package of a file. Debian's list and the loader may name a directory differently: /lib is /usr/lib."""
    real = str(pathlib.Path(path).resolve())
    for name in (path, real, "/usr" + path, real.removeprefix("/usr")):
        ran = subprocess.run(["dpkg-query", "-S", name], capture_output=True, text=True, check=False)
        if ran.returncode == 0:
            return ran.stdout.split(": ")[0].split(",")[0]
    return fail(f"{path} belongs to no Debian package")


def debian_licenses(package):
    """The short names in a machine-readable debian/copyright, as Debian writes them; all of them hold for some file."""
    copyright_file = pathlib.Path("/usr/share/doc", package.split(":")[0], "copyright")
    if not copyright_file.exists():
        return []
    text = copyright_file.read_text(encoding="utf-8", errors="replace")
    if "copyright-format/1.0" not in text.split("\n\n", 1)[0]:
        return []
    names = set()
    for stanza in re.split(r"\n\s*\n", text):
        if stanza.lstrip().startswith("Files:"):
            names |= set(re.findall(r"^License: *(\S.*?) *$", stanza, re.M))
    return [{"license": {"name": ", ".join(sorted(names))}}] if names else []


def package_identity(package):
    """(name, version, package URL) of an installed Debian package."""
    fields = output_of("dpkg-query", "-W", "-f", "${Package}\t${Version}\t${Architecture}\t${source:Package}", package)
    name, version, architecture, source = fields.split("\t")
    release = re.search(r'^VERSION_ID="?(\w+)', pathlib.Path("/etc/os-release").read_text(encoding="utf-8"), re.M)
    return name, version, purl("deb/debian", name, version, arch=architecture,
                               distro=f"debian-{release[1]}" if release else "", upstream=source)


def compiler_library(name, compiler):
    """What distinguishes the libgcc of a compiler of Debian's from one that is compiled from source."""
    path = output_of(compiler, "-print-libgcc-file-name").strip()
    _, version, package_url = package_identity(package_of(path))
    return {"bom-ref": f"{name}@{version}", "version": version, "hashes": sha256_of(path), "purl": package_url}


def package_component(package, paths):
    name, version, package_url = package_identity(package)
    component = {
        "type": "library", "bom-ref": f"{name}@{version}", "supplier": {"name": "Debian"},
        "name": name, "version": version, "purl": package_url,
        "properties": [{"name": "jaga:linkage", "value": "shared"}],
        "evidence": {"occurrences": [{"location": path} for path in sorted(paths)]},
    }
    licenses = debian_licenses(package)
    if licenses:
        component["licenses"] = licenses
    return component


def shared_components(binary):
    """(components, {component: those it needs}, what the binary needs by itself)"""
    libraries = shared_libraries(binary)
    package_by_soname = {soname: package_of(path) for soname, path in libraries.items()}
    components = {}
    for package in sorted(set(package_by_soname.values())):
        paths = [path for soname, path in libraries.items() if package_by_soname[soname] == package]
        components[package] = package_component(package, paths)

    def refs(path, besides=None):
        packages = {package_by_soname[soname] for soname in needed_of(path)} - {besides}
        return {components[package]["bom-ref"] for package in packages}

    needs = {component["bom-ref"]: set() for component in components.values()}
    for soname, path in libraries.items():
        package = package_by_soname[soname]
        needs[components[package]["bom-ref"]] |= refs(path, package)
    return list(components.values()), needs, refs(binary)


# --- bills ------------------------------------------------------------------------------------------------

def artefact(path, kind, version):
    path = pathlib.Path(path)
    hashes = sha256_of(path)
    return {"type": kind, "bom-ref": f"{path.name}@{version}#{hashes[0]['content'][:16]}", **OURS, "name": path.name,
            "version": version, "hashes": hashes}


def bill(root, components, needs, arguments):
    """The document. NEEDS: {bom-ref: bom-refs}."""
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
        "metadata": {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(arguments.time)),
            "lifecycles": [{"phase": "build"}],
            "tools": {"components": [{"type": "application", "name": "toolchain/sbom.py", "version": arguments.version,
                                      **OURS}]},
            "component": root,
        },
        "components": sorted(components, key=lambda component: component["bom-ref"]),
        "dependencies": [{"ref": ref, "dependsOn": sorted(needs[ref])} for ref in sorted(needs)],
    }
    content = json.dumps(document, sort_keys=True)
    document["serialNumber"] = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, content)}"
    return document


def bill_of_binary(arguments):
    root = artefact(arguments.artefact, "application", arguments.version)
    components, needs, direct = shared_components(arguments.artefact)
    sources = {component["name"]: (component, wants) for component, wants in map(source_component, arguments.component)}
    for component, wants in sources.values():
        components.append(component)
        needs[component["bom-ref"]] = {sources[name][0]["bom-ref"] for name in wants if name in sources}
        direct.add(component["bom-ref"])
    return bill(root, components, {root["bom-ref"]: direct, **needs}, arguments)


def bill_of_package(arguments):
    root = artefact(arguments.artefact, arguments.type, arguments.version)
    components, needs, direct = {}, {}, set()
    for path in arguments.holds:
        inner = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
        program = inner["metadata"]["component"]
        direct.add(program["bom-ref"])
        for component in [program, *inner["components"]]:
            components[component["bom-ref"]] = component
        for dependency in inner["dependencies"]:
            needs.setdefault(dependency["ref"], set()).update(dependency["dependsOn"])
    return bill(root, components.values(), {root["bom-ref"]: direct, **needs}, arguments)


def main():
    parser = argparse.ArgumentParser(description="CycloneDX bill of materials of one artefact")
    parser.add_argument("kind", choices=("binary", "package"))
    parser.add_argument("artefact")
    parser.add_argument("out")
    parser.add_argument("--version", required=True)
    parser.add_argument("--time", required=True, type=int, help="seconds since 1970")
    parser.add_argument("--component", nargs="+", action="append", default=[], metavar="FIELD=VALUE")
    parser.add_argument("--type", default="application", help="CycloneDX type of a package: application, container")
    parser.add_argument("--holds", nargs="*", default=[], metavar="SBOM")
    arguments = parser.parse_args()
    document = bill_of_binary(arguments) if arguments.kind == "binary" else bill_of_package(arguments)
    out = pathlib.Path(arguments.out)
    part = out.with_name(out.name + ".part")
    part.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    part.rename(out)


if __name__ == "__main__":
    main()
