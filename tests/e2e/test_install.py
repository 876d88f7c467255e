"""`make install`: everything in its place, nothing left by `make uninstall`."""
import os
import re
import subprocess

from tests.lab.programs import ROOT, build_dir

PROGRAMS = {"bin/jaga", "sbin/jaga-agent", "sbin/jaga-collector"}
TEXTS = {"share/man/man1/jaga.1", "share/man/man8/jaga-agent.8", "share/man/man8/jaga-collector.8",
         "share/man/man5/jaga-agent.conf.5", "share/man/man5/jaga-collector.conf.5",
         "share/bash-completion/completions/jaga", "share/doc/jaga/agent.conf.example",
         "share/doc/jaga/collector.conf.example", "share/doc/jaga/README.md", "share/doc/jaga/CHANGELOG.md",
         "share/doc/jaga/LICENSE", "lib/systemd/system/jaga-agent.service", "lib/systemd/system/jaga-collector.service",
         "lib/systemd/system/jaga-script.socket", "lib/systemd/system/jaga-script@.service",
         "lib/sysusers.d/jaga-agent.conf", "lib/sysusers.d/jaga-collector.conf"}


def make(target, destination):
    san = {"build/host": ""}.get(str(build_dir().relative_to(ROOT)), build_dir().name)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    subprocess.run(["make", f"SAN={san}", target, f"DESTDIR={destination}", "PREFIX=/opt/jaga"], cwd=ROOT, check=True,
                   capture_output=True, text=True, timeout=100, env=environment)


def files(destination):
    base = destination / "opt" / "jaga"
    return {str(path.relative_to(base)): path for path in destination.rglob("*") if path.is_file()}


def test_install_and_uninstall(tmp_path):
    make("install", tmp_path)
    installed = files(tmp_path)
    assert set(installed) == PROGRAMS | TEXTS
    for name, path in installed.items():
        assert path.stat().st_mode & 0o777 == (0o755 if name in PROGRAMS else 0o644), name
        if name in PROGRAMS:
            assert subprocess.run([str(path), "--version"], check=True, timeout=20, capture_output=True).stdout
    for unit, daemon in (("jaga-agent", "jaga-agent"), ("jaga-script@", "jaga-agent"), ("jaga-collector", "jaga-collector")):
        text = installed[f"lib/systemd/system/{unit}.service"].read_text()
        assert re.search(rf"^ExecStart=/opt/jaga/sbin/{daemon}( --|$)", text, re.M) and not re.search(r"@[A-Z]", text)
    make("uninstall", tmp_path)
    assert not files(tmp_path)
