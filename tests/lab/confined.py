"""jaga-agent as its systemd unit runs it, without systemd as PID 1: a user that is not root, with two
ambient capabilities and no way to more, and beside it the root unit that runs pushed scripts.

`systemd-socket-activate` plays jaga-script.socket (Accept=yes: one process a connection), setpriv plays
User= and AmbientCapabilities= of jaga-agent.service. tests/debian boots the real units.
"""
import os
import pathlib
import shutil
import tempfile

from tests.lab.lab import wait_until
from tests.lab.programs import Agent, build_dir

USER = 61234  # nobody's: a name in /etc/passwd is not needed
CAPABILITIES = ("net_admin", "net_raw")


def as_user(user, capabilities):
    """The words before a command that take everything from it but these capabilities."""
    granted = ",".join(f"+{name}" for name in capabilities) or "-all"
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--no-new-privs",
            f"--inh-caps=-all,{granted}", f"--ambient-caps=-all,{granted}", f"--bounding-set=-all,{granted}"]


class ConfinedAgent(Agent):
    """Files as the package places them: the configuration root's, key and state the agent's user's."""

    def __init__(self, lab, capabilities=CAPABILITIES, script_unit=True, **kwargs):
        super().__init__(lab, **kwargs)
        self.capabilities, self.unit = capabilities, None
        lab.dir.chmod(0o711)
        moved = self.dir / "run" / "agent.sock"
        self.conf.write_text(self.conf.read_text().replace(str(self.socket), str(moved)))
        self.socket, self.script_socket = moved, self.dir / "script.sock"
        for directory in (moved.parent, self.state):
            directory.mkdir(mode=0o700)
            os.chown(directory, USER, USER)
        # The build may lie where only root can look.
        self.programs = pathlib.Path(tempfile.mkdtemp(prefix="jaga-confined-"))
        self.programs.chmod(0o755)
        shutil.copy(build_dir() / "jaga-agent", self.programs)
        if script_unit:
            self.start_unit()

    def start_unit(self):
        self.script_socket.unlink(missing_ok=True)
        self.unit = self.lab.rtr.start(f"{self.name}-script", "systemd-socket-activate", "--accept", "--inetd", "--seqpacket",
                                       "--listen", self.script_socket, self.binary, "--config", self.conf, "--run-script")
        wait_until(self.script_socket.exists, 5, "the script unit listens")
        os.chown(self.script_socket, USER, USER)
        self.script_socket.chmod(0o600)

    def start_argv(self):
        # Leaks are looked for by ptrace, which a process without rights has not; the same code is searched elsewhere.
        sanitizer = ["env", "ASAN_OPTIONS=detect_leaks=0:exitcode=99"] if "ASAN_OPTIONS" in os.environ else []
        socket = ["--script-socket", self.script_socket] if self.unit else []
        return [*as_user(USER, self.capabilities), *sanitizer, self.programs / "jaga-agent", "--config", self.conf, *socket]

    def take_key(self):
        super().take_key()
        os.chown(self.key, USER, USER)

    def remove_programs(self):
        shutil.rmtree(self.programs, ignore_errors=True)
