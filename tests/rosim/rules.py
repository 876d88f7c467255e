"""What RouterOS refuses of a firewall rule although each of its values is right: matchers and actions that its chain cannot have.

The words are those of RouterOS (published transcripts of 6.49 and 7.23). A chain of one's own may be jumped to from anywhere, and is let
through."""
from .errors import Trap

WAYS_IN, WAYS_OUT = ("input", "prerouting", "dstnat"), ("output", "postrouting", "srcnat")
INCOMING = ("in-interface", "in-interface-list", "in-bridge-port")
OUTGOING = ("out-interface", "out-interface-list")


def check(path, rule):
    if not path.startswith("/ip/firewall/") or "chain" not in rule:
        return
    chain = rule["chain"]
    if chain in WAYS_OUT and any(rule.get(name) for name in INCOMING):
        raise Trap("failure: incoming interface matching not possible in output and postrouting chains")
    if chain in WAYS_IN and any(rule.get(name) for name in OUTGOING):
        raise Trap("failure: outgoing interface matching not possible in input and prerouting chains")
    if rule.get("action") == "mark-routing" and chain in ("input", "forward", "postrouting"):
        raise Trap("failure: routing-mark allowed only in output and prerouting chains")
