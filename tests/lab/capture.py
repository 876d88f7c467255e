"""Who spoke when between agent and collector: a packet capture of one host, and counters that need none.

tcpdump prints a line for each datagram; its text is enough, the payload is encrypted anyway.
"""
import re

from tests.lab.lab import COLLECTOR
from tests.lab.programs import COLLECTOR_PORT

LINE = re.compile(r"^(\d+\.\d+) .*IP (\S+)\.(\d+) > (\S+)\.(\d+): UDP, length (\d+)", re.M)


class Capture:
    """Datagrams to and from the collector as that host sees them."""

    def __init__(self, namespace, device):
        self.program = namespace.start(f"tcpdump-{device}", "tcpdump", "-l", "-n", "-tt", "--immediate-mode", "-i", device,
                                       f"udp port {COLLECTOR_PORT}")
        self.program.wait_log("listening on")

    def datagrams(self):
        """[(seconds, from collector?, bytes), ...] so far, in order."""
        return [(float(at), source == COLLECTOR, int(length))
                for at, source, _, _, _, length in LINE.findall(self.program.read_log())]


def count_link(lab):
    """Starts to count the datagrams of the collector's host."""
    lab.srv.nft(f"""
        table inet link {{
          counter from_agents {{ }}
          counter to_agents {{ }}
          chain input {{ type filter hook input priority 0; udp dport {COLLECTOR_PORT} counter name from_agents; }}
          chain output {{ type filter hook output priority 0; udp sport {COLLECTOR_PORT} counter name to_agents; }}
        }}""")


def read_link(lab):
    """(datagrams from agents, datagrams to agents) since count_link."""
    return lab.srv.counter("link", "from_agents"), lab.srv.counter("link", "to_agents")
