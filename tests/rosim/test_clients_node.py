"""The simulated router's API, asked by two clients of npm that were not written here: node-routeros, which speaks sentences, and
routeros-client, which makes objects of menus. `make check-rosim` installs them (tests/rosim/node/package-lock.json) into build/."""
import json
import os
import pathlib
import shutil
import subprocess

import pytest

from tests.rosim.test_api import HOST, Rosim

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODULES = ROOT / "build/rosim-node/node_modules"

pytestmark = pytest.mark.skipif(not shutil.which("node") or not (MODULES / "routeros-client").is_dir(),
                                reason="the clients are not installed; `make check-rosim` does that")


def work(script, router, password="secret"):
    return subprocess.run(["node", ROOT / f"tests/rosim/node/{script}.js", HOST, str(router.port), password], check=False, text=True,
                          capture_output=True, timeout=60, env={**os.environ, "NODE_PATH": str(MODULES)})


@pytest.fixture(params=("6.49", "7.16"))
def rosim(request):
    router = Rosim(request.param)
    router.personality = request.param
    yield router
    router.stop()


def test_sentences(rosim):
    done = work("api", rosim)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    ours = found["added"][0][".id"]
    assert found["wrong"] == "Username or password is invalid"  # node-routeros's words for RouterOS's trap
    assert found["added"] == [{".id": ours, "address": "192.0.2.9/24", "network": "192.0.2.0", "interface": "ether2"}]
    assert found["comment"] == [{"address": "192.0.2.9/24", "comment": "grüße"}]
    assert found["or"] == [{"name": "ether1"}, {"name": "ether3"}]
    assert found["not"] == ["ether2", "ether3", "ether4", "ether5"] and found["none"] == []
    assert found["unknown_value"] == "input does not match any value of interface"
    assert found["unknown_parameter"] == "unknown parameter"
    assert found["unknown_menu"] == "no such command prefix" and found["unknown_item"] == "no such item"
    assert found["tags"] is True
    added, changed, dead = found["listen"]["told"]
    assert {row[".id"] for row in (added, changed, dead)} == {found["listen"]["id"]}
    assert "comment" not in added and changed["comment"] == "changed" and dead[".dead"] in ("yes", "true")
    assert found["left"] == []


def test_menus(rosim):
    done = work("menus", rosim)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["identity"], found["renamed"]) == ("MikroTik", "from-node")
    assert found["rules"] == [{"chain": "forward", "action": "accept", "srcAddress": "192.0.2.5", "dstPort": 80},
                              {"chain": "input", "action": "drop"}]
    assert [(row["chain"], row["comment"]) for row in found["selected"]] == [("input", "last")]
    assert found["either"] == 2 and found["order"] == ["input", "forward"]
    assert (found["disabled"], found["enabled"], found["comment"], found["unset"]) == (True, False, "by a model", 0)
    assert found["refused"] == "input does not match any value of action" and found["left"] == 0


def test_login_by_challenge():
    """Before 6.43: node-routeros answers the challenge when there is one."""
    rosim = Rosim("6.49", "--old-login")
    try:
        done = work("menus", rosim)
        assert done.returncode == 0, done.stderr
        assert work("menus", rosim, "wrong").returncode == 1
    finally:
        rosim.stop()


@pytest.mark.parametrize("script", ("api", "menus"))
def test_an_empty_answer_is_new_to_them(script):
    """From 7.18 a print without rows answers !empty; node-routeros 1.6.9 ends at it, as its users report of real routers."""
    rosim = Rosim("7.20")
    try:
        done = work(script, rosim)
        assert done.returncode == 1 and "unknown reply: !empty" in done.stderr
    finally:
        rosim.stop()
