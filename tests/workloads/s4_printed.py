"""S4 as it was printed: a routing mark that no rule sets, and a bypass for a network that is not there."""
import pathlib

SLIPS = (("routing-mark=to-ISP1 check-gateway", "routing-mark=to-ISPI check-gateway"),
         ("dst-address=192.168.40.0/24", "dst-address=192.168.49.0/24"))


def script():
    text = (pathlib.Path(__file__).parent / "s4.rsc").read_text(encoding="utf-8")
    for meant, printed in SLIPS:
        assert text.count(meant) == 1, meant
        text = text.replace(meant, printed)
    return text
