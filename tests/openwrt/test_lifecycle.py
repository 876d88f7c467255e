"""Installed, upgraded, removed, over both formats: nothing of the router's is lost, nothing of ours is left."""
import pytest

from tests.openwrt.build import OPENWRT, STANDIN, make_packages
from tests.openwrt.router import Apk, Opkg, Router
from tests.openwrt.test_service import GOOD

KEY = "etc/jaga/agent.key"
OWN = {"etc/config/jaga", KEY}  # what is the router's, not the package's


@pytest.fixture(name="packages", scope="module")
def fixture_packages(tmp_path_factory):
    """{"ipk": [old, new], "apk": [old, new]}; the new one has another agent."""
    directory = tmp_path_factory.mktemp("packages")
    newer = directory / "newer"
    newer.write_text((STANDIN / "jaga-agent").read_text() + "# newer\n")
    pairs = make_packages(directory, STANDIN / "jaga-agent", "v0.1.0"), make_packages(directory, newer, "v0.2.0")
    return {"ipk": [pair[0] for pair in pairs], "apk": [pair[1] for pair in pairs]}


@pytest.fixture(name="router", params=["ipk", "apk"])
def fixture_router(request, tmp_path, packages):
    router = Router(tmp_path / "root")
    router.before = router.files()
    router.manager = {"ipk": Opkg, "apk": Apk}[request.param](router)
    router.packages = packages[request.param]
    return router


def configure(router):
    router.write("etc/config/jaga", GOOD)
    router.write(KEY, "0" * 64 + "\n")
    (router.root / "etc/jaga/state").mkdir()
    router.write("etc/jaga/state/journal", "job 7")
    router.write("tmp/plan", "in force")
    router.service("start")


def test_first_installation_starts_nothing_and_says_how_to_go_on(router):
    said = router.manager.install(router.packages[0])
    assert said.stderr == "" and "uci set jaga.agent.enabled=1" in said.stdout
    assert not (router.root / "tmp/procd.instance").exists()
    changed = {name for name, contents in router.before.items() if router.files().get(name) != contents}
    assert not changed


def test_upgrade_keeps_everything_and_runs_the_new_agent(router):
    router.manager.install(router.packages[0])
    configure(router)
    (router.root / "etc/rc.d/S95jaga").unlink()  # disabled by its owner: not enabled by an upgrade
    kept = {name: contents for name, contents in router.files().items() if name.startswith(("etc/config", "etc/jaga"))}
    said = router.manager.install(router.packages[1])
    assert said.stderr == ""
    assert {name: router.files()[name] for name in kept} == kept
    assert router.read("tmp/plan") == "in force"
    assert "--remove" not in router.read("tmp/agent.called")
    assert router.lines("tmp/procd.did") in (["start", "restart"], ["start", "stop", "start"])
    assert not (router.root / "etc/rc.d/S95jaga").exists()
    assert not (router.root / "etc/uci-defaults/90_jaga").exists()
    assert not [name for name in router.files() if name.endswith(("-opkg", ".apk-new", ".new"))]


def test_upgrade_of_a_service_that_is_not_enabled_starts_nothing(router):
    router.manager.install(router.packages[0])
    router.manager.install(router.packages[1])
    assert router.lines("tmp/procd.did") == []


def test_removal_takes_the_plan_off_and_leaves_only_what_is_the_routers(router):
    router.manager.install(router.packages[0])
    configure(router)
    router.manager.remove()
    after = router.files()
    assert set(after) - set(router.before) == OWN
    assert {name: after[name] for name in router.before} == router.before
    assert not (router.root / "tmp/plan").exists(), "--remove came while the agent still ran"
    assert router.lines("tmp/procd.did") == ["start", "stop"]
    assert not (router.root / "etc/jaga/state").exists()


@pytest.mark.parametrize("configuration", ["", None])
def test_removal_without_a_configuration_takes_the_plan_off_too(router, configuration):
    router.manager.install(router.packages[0])
    configure(router)
    if configuration is None:
        (router.root / "etc/config/jaga").unlink()
    else:
        router.write("etc/config/jaga", configuration)
    router.manager.remove()
    assert not (router.root / "tmp/plan").exists()
    assert not (router.root / "tmp/jaga-remove.conf").exists()


def test_removal_and_another_installation(router):
    router.manager.install(router.packages[0])
    configure(router)
    router.manager.remove()
    router.manager.install(router.packages[1])
    assert router.read("etc/config/jaga") == GOOD
    assert router.lines("tmp/procd.did") == ["start", "stop", "start"]  # it is enabled, and on its way again


def test_sysupgrade_keeps_configuration_key_and_journal(router):
    router.manager.install(router.packages[0])
    configure(router)
    kept = router.lines("lib/upgrade/keep.d/jaga")
    must = {f"/{name}" for name in router.files() if name in OWN or name.startswith("etc/jaga/")}
    assert must and all(any(name == entry or (entry.endswith("/") and name.startswith(entry)) for entry in kept)
                        for name in must)


def test_in_an_image_that_is_being_built_nothing_runs(router):
    """IPKG_INSTROOT: the scripts run on the machine that builds the image, whose own services are not ours."""
    router.manager.install(router.packages[0])
    configure(router)
    (router.root / "image/lib").mkdir(parents=True)
    router.write("image/lib/functions.sh", "".join(
        f'default_{name}() {{ echo "{name} $root $pkgname $1" >>/tmp/image; }}\n' for name in ("postinst", "prerm")))
    called = router.read("tmp/agent.called")
    for name in ("post-install", "pre-remove"):
        router.write("tmp/script", (OPENWRT / "scripts" / name).read_text())
        ran = router.run("/bin/sh", "/tmp/script", IPKG_INSTROOT="/image")
        assert (ran.stdout, ran.stderr) == ("", "")
    assert router.lines("tmp/image") == ["postinst /image jaga-agent jaga-agent.postinst",
                                         "prerm /image jaga-agent jaga-agent.prerm"]
    assert router.lines("tmp/procd.did") == ["start"] and router.read("tmp/agent.called") == called
    assert router.read("etc/jaga/state/journal") == "job 7"
