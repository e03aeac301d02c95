"""Real agents and a real controller over real sockets, with everything that comes between them."""

import os
import random
import signal
import time
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise

import pytest
from agents_estate import BEAT, ESTATE, Scene, picky

from holdfast.availability.model import State
from installation import eventually, free_port, installed


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Shared by the tests of this module, each of which leaves it as it found it: well, with two agents."""
    site, agents = free_port(), free_port()
    with (
        picky() as target,
        installed(
            tmp_path_factory.mktemp("agents"),
            ESTATE.format(site=site, agents=agents, url=target.url),
            VANTAGE="local",
            BEAT_TOKEN=BEAT,
        ) as installation,
    ):
        scene = Scene(installation, target, site, agents)
        installation.up()
        for agent in scene.agents.values():
            agent.enrol()
            agent.start()
        yield scene
        for agent in scene.agents.values():
            agent.way.close()


@pytest.fixture(autouse=True)
def well(scene: Scene) -> Iterator[None]:
    scene.becomes("web", "operational")
    scene.becomes("far", "operational")
    for key in ("page", "page@tokyo", "page@oslo"):
        probe = scene.probe("web", key)
        # A silence is written down by the first result after it: only then does the line stand still again.
        known = len(scene.times(probe))
        eventually(lambda: len(scene.times(probe)) > known, f"{key} is heard")  # noqa: B023
    yield
    scene.target.down_for.clear()
    for agent in scene.agents.values():
        agent.way.mend()


def test_two_of_three_decide(scene: Scene) -> None:
    tokyo = scene.probe("web", "page@tokyo")
    scene.target.down_for = {"tokyo"}
    scene.becomes("far", "major_outage")  # tokyo alone decides there
    eventually(lambda: scene.transitions(tokyo)[-1][1] is State.MAJOR_OUTAGE, "tokyo sees it down")
    assert scene.shown()["web"] == "operational"

    scene.target.down_for = {"tokyo", "oslo"}
    scene.becomes("web", "major_outage")
    assert scene.reason("web") == "status was 503, expected 200-299"
    local = scene.transitions(scene.probe("web", "page"))
    assert [state for _, state in local if state is State.MAJOR_OUTAGE] == []

    scene.target.down_for = set()
    scene.becomes("web", "operational")


def test_a_silent_agent_has_no_vote(scene: Scene) -> None:
    oslo, tokyo = scene.agents["oslo"], scene.agents["tokyo"]
    tokyo.stop()
    scene.becomes("far", "unknown")
    assert scene.shown()["web"] == "operational"  # two are left, and agree

    oslo.stop()
    scene.becomes("web", "unknown")  # one is no quorum, whatever it sees

    for agent in (oslo, tokyo):
        agent.start()
    scene.becomes("web", "operational")


def test_late_results_mend_what_was_unknown(scene: Scene) -> None:
    tokyo, far = scene.agents["tokyo"], scene.probe("far", "page@tokyo")
    others = [scene.probe("web", key) for key in ("page", "page@oslo")]
    before = {probe: scene.transitions(probe) for probe in (far, *others)}
    tokyo.way.cut()
    cut_at = scene.times(far)[-1]
    scene.becomes("far", "unknown")
    eventually(lambda: len(tokyo.spooled()) > 10, "the agent goes on")
    waiting = {result.at for result in tokyo.spooled() if result.check_id == far}

    tokyo.way.mend()
    scene.becomes("far", "operational")
    eventually(lambda: waiting <= set(scene.times(far)), "all of it was delivered")

    # Not a transition was written for the time away, nor for anybody else: the line is the one before.
    assert {probe: scene.transitions(probe) for probe in before} == before
    times = [at for at in scene.times(far) if at >= cut_at]
    assert max(b - a for a, b in pairwise(times)) < timedelta(seconds=5)
    assert tokyo.told("delivery_failed")
    assert tokyo.told("delivery_failed_no_more")


def test_a_controller_that_hangs_and_dies_costs_nothing(scene: Scene) -> None:
    far = scene.probe("far", "page@tokyo")
    for how in (signal.SIGSTOP, signal.SIGKILL):
        controller = scene.installation.role("controller")
        assert controller is not None
        before = len(scene.times(far))
        os.kill(controller, how)
        time.sleep(3)
        if how == signal.SIGSTOP:
            os.kill(controller, signal.SIGCONT)
        eventually(lambda: len(scene.times(far)) > before + 5, "results arrive again")  # noqa: B023

    eventually(lambda: len(scene.agents["tokyo"].spooled()) < 5, "nothing waits")
    times = scene.times(far)
    gaps = [b - a for a, b in pairwise(times[-15:])]
    assert max(gaps) < timedelta(seconds=5)


def test_a_revoked_token_is_refused_at_once_and_a_new_one_goes_on(scene: Scene) -> None:
    oslo, probe = scene.agents["oslo"], scene.probe("web", "page@oslo")
    revoked = scene.installation.run("agent", "revoke", "oslo")
    assert "revoked" in revoked.out
    known = scene.times(probe)

    def refused() -> bool:
        return any("valid token" in each["error"] for each in oslo.told("delivery_failed"))

    eventually(refused, "the agent says that it is refused")
    assert scene.times(probe) == known
    listed = {each["vantage"]: each for each in scene.installation.run("agent", "list", "--json").json}
    assert listed["oslo"]["revoked_at"] is not None
    assert listed["tokyo"]["revoked_at"] is None
    assert scene.installation.run("agent", "revoke", "oslo", code=1).err

    waiting = {result.at for result in oslo.spooled()}
    oslo.enrol()
    eventually(lambda: waiting <= set(scene.times(probe)), "what was found meanwhile is there")
    events = scene.installation.query(
        "SELECT event FROM holdfast.journal WHERE facts->>'vantage' = 'oslo' ORDER BY id"
    )
    assert [event for (event,) in events] == ["agent.added", "agent.revoked", "agent.added"]


def test_kill_9_at_any_moment_loses_nothing_that_was_on_the_disk(scene: Scene) -> None:
    oslo, probe = scene.agents["oslo"], scene.probe("web", "page@oslo")
    seed = random.randrange(1_000_000)
    dice = random.Random(seed)
    on_disk = set()
    began = scene.times(probe)[-1]
    for turn in range(10):
        if turn % 3 == 1:
            oslo.way.cut()
        elif turn % 3 == 2:
            oslo.way.mend()
        time.sleep(dice.uniform(0.2, 3.0))
        oslo.kill()
        on_disk |= {(result.at, result.outcome) for result in oslo.spooled()}
        oslo.start()
    oslo.way.mend()

    eventually(
        lambda: {at for at, _ in on_disk} <= set(scene.times(probe)), f"all was delivered (seed {seed})"
    )
    rows = scene.installation.query(
        "SELECT at, outcome FROM availability.result WHERE check_id = %s AND at > %s", probe, began
    )
    assert len(rows) == len({at for at, _ in rows}), seed
    assert {(at, int(outcome)) for at, outcome in on_disk} <= set(rows) | {
        (at, int(outcome)) for at, outcome in on_disk if at <= began
    }
    # Far fewer were asked for than would be there if a restart repeated them.
    assert len(rows) <= scene.target.asked.count("oslo")


def test_agents_are_for_declared_vantage_points(scene: Scene) -> None:
    run = scene.installation.run
    assert "did you mean `tokyo`" in run("agent", "add", "tokio", code=1).err
    assert "Tokyo" in run("agent", "list").out


def test_checking_the_estate_tries_what_can_be_tried_from_here(scene: Scene) -> None:
    found = scene.installation.run("check", "--json").json["findings"]
    assert {each["subject"] for each in found} == {"main/web/page", "main/job/beat/token"}


def test_a_vantage_point_that_leaves_the_estate_is_retired_and_may_come_back(scene: Scene) -> None:
    config, oslo = scene.installation.config, scene.probe("web", "page@oslo")
    text = config.read_text()
    tokyo = scene.transitions(scene.probe("web", "page@tokyo"))
    config.write_text(text.replace(", oslo]", "]").replace("  oslo: {name: Oslo}\n", ""))
    eventually(lambda: scene.transitions(oslo)[-1][1] is State.RETIRED, "its probe is retired")
    eventually(lambda: scene.agents["oslo"].told("orders_not_read"), "its agent is told")
    assert "no vantage point" in scene.agents["oslo"].told("orders_not_read")[-1]["error"]
    assert scene.shown()["web"] == "operational"
    assert scene.transitions(scene.probe("web", "page@tokyo")) == tokyo

    config.write_text(text)
    eventually(lambda: scene.transitions(oslo)[-1][1] is State.OPERATIONAL, "it is heard again")


def test_an_agent_wants_a_private_token_and_an_address(scene: Scene) -> None:
    run, token = scene.installation.run, scene.installation.folder / "open-token"
    token.write_text("hfa_secret")
    token.chmod(0o644)
    controller = ("serve", "agent", "--controller", "http://127.0.0.1:1")

    opened = run(*controller, "--token-file", str(token), code=1)
    assert "other accounts may read" in opened.err
    assert "hfa_secret" not in opened.err + opened.out
    assert "no such file" in run(*controller, "--token-file", "missing", code=1).err
    assert "--token-file" in run(*controller, code=1).err
    token.chmod(0o600)
    wrong = ("serve", "agent", "--controller", "status.example.com", "--token-file", str(token))
    assert "no address" in run(*wrong, code=1).err


# --- beats


def test_a_service_that_calls_in_is_well_until_it_does_not(scene: Scene) -> None:
    assert scene.shown()["job"] in ("unknown", "major_outage")
    eventually(lambda: scene.beat() == 200, "somebody listens")

    scene.becomes("job", "operational")
    scene.becomes("job", "major_outage")
    assert scene.reason("job").startswith("no beat for ")
    assert scene.reason("job").endswith(", expected every 4s")

    assert scene.beat() == 200
    scene.becomes("job", "operational")
    assert scene.beat("?status=fail&message=no%20paper") == 200
    scene.becomes("job", "major_outage")
    eventually(lambda: scene.reason("job") == "the service reports a failure", "the reason is the report")
