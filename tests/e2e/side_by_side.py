"""Tests of one file that mostly wait, played side by side: the file takes as long as a few of them, and not as all together.

A play is a test's function and what it is parametrized by. The first test of the file to be run begins all that pytest has selected of
it, each in a thread, AT_ONCE at a time and in their order; every test then waits for its own play and fails as it did.

    @contextlib.contextmanager
    def make(folder, personality): ...      # what the tests are given; each is alone with its own

    side_by_side = SideBySide(make)

    @side_by_side("7.20", "6.49")           # a test of each; values of other tests are handed to make as well
    def test_something(scene): ...

What make() makes must be able to stand twice on one machine: names, addresses and ports of its own. Fixtures there are none."""
import concurrent.futures

import pytest

AT_ONCE = 5  # plays wait for timers of seconds; what they do in between has to fit a machine of two cores that has other jobs


class SideBySide:
    def __init__(self, make):
        self.make, self.plays, self.pool = make, {}, None

    def __call__(self, *values, ids=None):
        def decorate(function):
            @pytest.mark.parametrize("value", values, ids=ids)
            def test(request, tmp_path_factory, value):
                if self.pool is None:
                    self.begin(request.node.getparent(pytest.Module), tmp_path_factory)
                self.plays[request.node.nodeid].result()
            test.__name__, test.__doc__, test.play = function.__name__, function.__doc__, (self, function)
            return test
        return decorate

    def begin(self, module, tmp_path_factory):
        self.pool = concurrent.futures.ThreadPoolExecutor(AT_ONCE)
        module.addfinalizer(self.end)
        for item in module.session.items:
            stage, function = getattr(item.obj, "play", (None, None))
            if stage is self:
                folder = tmp_path_factory.mktemp("play")
                self.plays[item.nodeid] = self.pool.submit(self.play, function, folder, item.callspec.params["value"])

    def play(self, function, folder, value):
        try:
            with self.make(folder, value) as given:
                function(given)
        except Exception as error:
            for log in sorted(folder.glob("*.log")):
                error.add_note(f"--- {log.name}\n{log.read_text(errors='replace')[-3000:]}")
            raise

    def end(self):
        """Also when the file is interrupted: who waits in the queue is not begun any more, who plays takes its things away."""
        self.pool.shutdown(cancel_futures=True)
        self.pool = None
