"""Scripts of the collector on RouterOS: the real agent and collector, and a simulated router (tests/rosim).

What these tests say of RouterOS holds as far as tests/rosim/README.md does."""
import contextlib

from tests.e2e.ros_site import Site
from tests.e2e.side_by_side import SideBySide
from tests.lab.lab import wait_until

PERSONALITIES = ("6.49", "7.16", "7.20")
TELLS_LINES = ("7.20",)  # the router itself names the line at which a command failed
PIECE_BYTES = 60_000  # RouterOS takes no more in one go


@contextlib.contextmanager
def make(folder, value):
    """value: a personality, or one and a case."""
    site = Site(folder, *([value] if isinstance(value, str) else value))
    try:
        yield site.start()
    finally:
        site.end()


side_by_side = SideBySide(make)
each = side_by_side(*PERSONALITIES)


def in_each_case(cases, *personalities):
    """cases: {id: case}"""
    values = {f"{name}-{personality}": (personality, case) for name, case in cases.items() for personality in personalities}
    return side_by_side(*values.values(), ids=values.keys())


def lines(count, bad=None, comment=""):
    """A script of `count` lines; `bad` takes the place of line 250."""
    rest = f'list=customers comment="{comment}"' if comment else "list=customers"
    text = ["# a comment", "/ip firewall address-list"]
    text += [f"add address=198.51.{n // 250}.{n % 250} {rest}" for n in range(3, count + 1)]
    if bad:
        text[249] = bad
    return "\n".join(text) + "\n"


LONG = lines(250, comment="a comment as long as few people write them, " * 6)
assert len(LONG) > PIECE_BYTES

# --- scripts ------------------------------------------------------------------------------------------------

@each
def test_a_script_is_carried_out(site):
    done = site.push(lines(496) + ':put "all of \\"it\\""\n:put [/system identity get name]\n')
    assert done["state"] == "confirmed", done
    assert done["output"].splitlines() == ['all of "it"', "MikroTik"]
    assert [row["address"] for row in site.rows("ip", "firewall", "address-list")] == [
        f"198.51.{n // 250}.{n % 250}" for n in range(3, 497)]
    assert site.leftovers() == []


@each
def test_a_script_that_cannot_be_read_does_nothing(site):
    before = site.export()
    done = site.push(lines(496, bad="    add adress=198.51.100.1 list=customers"))
    assert (done["state"], done["output"]) == ("failed", "")
    assert done["reason"] == "line 250 column 9: expected end of command; nothing was done"
    assert site.export() == before and site.leftovers() == []


@each
def test_the_line_that_failed_is_named(site):
    done = site.push(':put "begins"\n' + lines(496, bad="add address=198.51.0.3 list=customers").removeprefix("# a comment\n"))
    assert done["state"] == "failed" and done["output"].strip() == "begins"
    assert "line 250: failure: already have such entry" in done["reason"]
    assert len(site.rows("ip", "firewall", "address-list")) == 247  # what stood before it was done, as it says
    assert site.leftovers() == []


@each
def test_a_line_within_a_block_is_named_as_well_as_the_router_can(site):
    done = site.push("# nothing\n:foreach name in={\"a\";\"a\"} do={\n  # once more\n  /interface bridge add name=$name\n}\n")
    assert f"line {4 if site.personality in TELLS_LINES else 2}: failure: already have" in done["reason"]


@each
def test_a_long_script_is_carried_out_in_pieces(site):
    text = lines(500, comment="a comment as long as few people write them, " * 6)
    assert len(text) > 2 * PIECE_BYTES
    done = site.push(text + ':put "the end"\n')
    assert (done["state"], done["output"].strip()) == ("confirmed", "the end"), done["reason"]
    assert [row["address"] for row in site.rows("ip", "firewall", "address-list")] == [
        f"198.51.{n // 250}.{n % 250}" for n in range(3, 501)]
    assert site.leftovers() == []


@each
def test_a_long_script_is_read_before_any_of_it_is_done(site):
    before = site.export()
    done = site.push(LONG + "add color=red\n")
    assert "line 251 column 5: expected end of command; nothing was done" in done["reason"]
    assert site.export() == before and site.leftovers() == []
    done = site.push(LONG + "add address=198.51.0.3 list=customers\n")
    assert "line 251: failure: already have such entry" in done["reason"]
    assert site.leftovers() == []


@each
def test_a_long_script_that_would_change_its_meaning_is_refused(site):
    before = site.export()
    done = site.push(':local name "customers"\n' + LONG)
    assert "line 1: " in done["reason"] and "where it is cut this variable is lost" in done["reason"]
    done = site.push("{\n" + LONG + "}\n")
    assert "too long to be taken in one go" in done["reason"]
    done = site.push("{\n" + LONG)
    assert "a bracket or quote has no partner" in done["reason"]
    assert site.export() == before


@each
def test_output_is_bounded_and_says_so(site):
    done = site.push(':for n from=1 to=4000 do={ :put "a line of twenty characters" }\n:put "the end"\n')
    assert done["state"] == "confirmed", done
    assert done["output_truncated"] is True
    if site.personality == "6.49":
        assert done["output"] == "(of 116007 bytes that it printed, the router hands out 0)\n"
    else:
        assert done["output_bytes"] == 64 * 1024
    assert site.leftovers() == []


@in_each_case({"brace": "}\n", "quote": '"\n', "bracket": ":put [\n", "open": ":if (true) do={\n", "around": "}; /system identity set name=x; {\n"},
              *PERSONALITIES)
def test_hostile_brackets_do_not_get_out(site):
    before = site.export()
    done = site.push(site.case)
    assert done["state"] == "failed" and "nothing was done" in done["reason"]
    assert site.export() == before and site.leftovers() == []


@each
def test_a_router_that_reboots_within_the_script(site):
    done = site.push("/system identity set name=begun\n/system reboot\n/system identity set name=ended\n")
    assert done["state"] == "interrupted"
    assert "how far it came is not known: " in done["reason"]
    wait_until(lambda: "is connected again" in site.log.read_text(), 20, "the agent is back")
    assert site.rows("system", "identity")[0]["name"] == "begun"


@each
def test_a_session_that_ends_meanwhile(site):
    job = site.queue(":delay 60s\n")
    wait_until(lambda: site.rows("system", "script", "job"), 10, "the script runs")
    site.router.stop()
    done = site.wait(job)
    assert done["state"] == "interrupted" and "how far it came is not known" in done["reason"]


@each
def test_secrets_stay_out_of_the_log(site):
    done = site.push("/ppp secret add name=x password=Geheim77\n/ppp secret add name=y passwort=Geheim77\n")
    assert done["state"] == "failed" and "nothing was done" in done["reason"] and "Geheim77" not in done["reason"]
    assert site.push("/ppp secret add name=x password=Geheim77\n")["state"] == "confirmed"
    assert "Geheim77" not in site.log.read_text() and "Geheim77" not in site.collector.read_log()


# --- the way back -------------------------------------------------------------------------------------------

SAVED = {"confirm_s": 30}
NOT_SMALL = ":if (true) do={ /system identity set name=x }\n"  # what safe mode is not trusted with


def traces(site):
    """What the way back must not leave at the router."""
    return site.leftovers() + site.rows("system", "scheduler") + site.rows("system", "script")


@each
def test_a_script_that_is_confirmed_stays(site):
    done = site.push("/system identity set name=kept\n", **SAVED)
    assert done["state"] == "confirmed", done
    assert site.rows("system", "identity")[0]["name"] == "kept"
    assert traces(site) == []


@each
def test_a_script_that_fails_is_undone_to_the_byte(site):
    before = site.export()
    done = site.push(lines(496, bad="add address=198.51.0.3 list=customers"), **SAVED)
    assert done["state"] == "rolled-back" and "line 250: failure: already have such entry" in done["reason"], done
    wait_until(lambda: site.log.read_text().count("link: session open") >= 1, 20, "the agent is there")
    assert site.export() == before and traces(site) == []


@each
def test_an_own_rollback_is_run_instead(site):
    done = site.push("/system identity set name=half\n:error wrong\n", rollback="/system identity set name=undone\n", **SAVED)
    assert done["state"] == "rolled-back", done
    assert site.rows("system", "identity")[0]["name"] == "undone" and traces(site) == []


@each
def test_a_router_that_loses_power_goes_back(site):
    before = site.export()
    done = site.push("/system identity set name=half\n/system reboot\n", **SAVED)
    assert done["state"] == "rolled-back", done
    assert site.export() == before and traces(site) == []


@each
def test_an_agent_that_is_killed_meanwhile_goes_back(site):
    before = site.export()
    job = site.queue("/system identity set name=half\n:delay 60s\n", **SAVED)
    wait_until(lambda: site.rows("system", "identity")[0]["name"] == "half", 20, "the script is half done")
    site.stop(is_killed=True)
    site.start()
    done = site.wait(job)
    assert done["state"] == "rolled-back", done
    output = [".txt"] if site.personality == "6.49" else []  # of the script that nobody waited for: it stays
    assert site.export() == before and [row["name"][-4:] for row in traces(site)] == output


@each
def test_without_room_for_a_backup_nothing_is_run(site):
    api = site.router.connect()
    for number in range(140):  # all of 8 MB but 600 bytes
        list(api.rawCmd("/execute", f"=script=:put \"{'x' * (60000 if number < 139 else 48000)}\"", f"=file=ballast{number}"))
    wait_until(lambda: len(site.rows("file")) >= 140, 20, "the flash is full")
    done = site.push(NOT_SMALL, **SAVED)
    assert done["state"] == "failed" and done["reason"].startswith("not run, no way back: "), done
    assert "not enough space left on device" in done["reason"]
    assert site.rows("system", "identity")[0]["name"] == "MikroTik" and site.rows("system", "scheduler") == []


@each
def test_where_the_scheduler_is_forbidden_nothing_is_run(site):
    if site.personality != "7.20":
        return  # device-mode begins with 7.17
    before = site.export()
    list(site.router.connect().rawCmd("/system/device-mode/update", "=mode=home"))
    done = site.push(NOT_SMALL, **SAVED)
    assert done["state"] == "failed" and "device-mode forbids the scheduler" in done["reason"], done
    assert site.export() == before and traces(site) == []
