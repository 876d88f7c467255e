"""
Who configures and backs up the fleet. A contender is made with a Fleet (lab.py) and does, in the server's namespace:

    version()           what it is, with numbers
    start(), stop()     whatever runs before and after, outside the timed parts
    configure(scripts)  {router's name: lines} on all of them; {name: Result}: what the contender itself says became of each
    backup()            {name: Result}, the texts in Result.text

None takes longer than self.patience_s: who has no end of its own is ended then, and what it left undone is a Result that hung.
Both call self.begin() when the part that counts begins; Result.at_s is since then. The harness (__main__.py) looks afterwards at the
routers themselves, and compares. contenders.py lists them.
"""
import dataclasses

PATIENCE_S = 900  # sequential Paramiko takes 10 minutes


@dataclasses.dataclass
class Result:
    """What a contender says about one router. at_s: since the call; text: of a backup; hung: it said nothing, ever."""

    ok: bool
    error: str = None
    at_s: float = 0.0
    text: str = None
    hung: bool = False

    @classmethod
    def of_hung(cls, after_s):
        return cls(False, f"ended by the bench: nothing was heard of it within {after_s} s", after_s, hung=True)


class Contender:
    name = None
    repetitions = 2
    scenarios = ("clean", "loss", "faults")  # that it takes part in
    recovers_within_s = 0  # how long it may take to bring a router back that its script cut off; 0: it has no such thing

    def __init__(self, fleet, begin=lambda: None, progress=lambda _: None, patience_s=PATIENCE_S):
        self.fleet, self.begin, self.progress, self.patience_s = fleet, begin, progress, patience_s

    def start(self):
        pass

    def stop(self):
        pass
