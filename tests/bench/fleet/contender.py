"""
Who configures and backs up the fleet. A contender is made with a Fleet (lab.py) and does, in the server's namespace:

    version()           what it is, with numbers
    start(), stop()     whatever runs before and after, outside the timed parts
    configure(scripts)  {router's name: lines} on all of them; {name: Result}: what the contender itself says became of each
    backup()            {name: Result}, the texts in Result.text

Both call self.begin() when the part that counts begins; Result.at_s is since then. The harness (__main__.py) looks afterwards at the
routers themselves, and compares. contenders.py lists them.
"""
import dataclasses


@dataclasses.dataclass
class Result:
    """What a contender says about one router. at_s: since the call; text: of a backup."""

    ok: bool
    error: str = None
    at_s: float = 0.0
    text: str = None


class Contender:
    name = None
    repetitions = 2
    scenarios = ("clean", "loss", "faults")  # that it takes part in
    recovers_within_s = 0  # how long it may take to bring a router back that its script cut off; 0: it has no such thing

    def __init__(self, fleet, begin=lambda: None, progress=lambda _: None):
        self.fleet, self.begin, self.progress = fleet, begin, progress

    def start(self):
        pass

    def stop(self):
        pass
