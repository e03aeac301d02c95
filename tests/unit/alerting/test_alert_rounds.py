"""Whole rounds: from states that change to what operators read."""

from datetime import timedelta

from alerting_estates import EXAMPLE, ROUND, T0, Operated

from holdfast.availability.alerting.model import Kind, Severity
from holdfast.availability.model import State
from holdfast.kernel.windows import Window

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


async def operated(text: str = EXAMPLE) -> Operated:
    return await Operated(text).heard()


async def test_while_all_is_well_nothing_is_said_and_nothing_written() -> None:
    estate = await operated()
    assert await estate.rounds_for(5 * MINUTE) == []
    assert (await estate.alerts.board()).version == 0
    assert await estate.delivered() == {}


async def test_an_outage_pages_before_its_burn_does_and_its_end_is_told() -> None:
    estate = await operated()
    await estate.becomes("eu/api", State.MAJOR_OUTAGE, "connection refused")
    assert await estate.rounds_for(MINUTE) == ["opened down:eu/api"]
    got = await estate.delivered()
    (page,) = got["ops"]
    assert page.title == "[PAGE] eu/api is down since 2026-11-10 12:00:00Z: connection refused"
    assert page.severity is Severity.PAGE
    assert "down:eu/api" in page.body
    assert "https://status.example.com" in page.body
    assert page.key
    assert len(got["desk"]) == 1
    # 2 % of the budget of 30 d at 99.9 % is 51.84 s, over two components twice that.
    assert await estate.rounds_for(2 * MINUTE) == ["opened burn:gold"]
    (burning,) = (await estate.delivered())["ops"]
    assert burning.title.endswith("(+1)")
    assert "Gold (gold) burns its error budget" in burning.body
    await estate.becomes("eu/api", State.OPERATIONAL)
    changes = await estate.rounds_for(15 * MINUTE)
    assert "resolved down:eu/api" in changes
    resolved = (await estate.delivered())["ops"]
    assert any("RESOLVED  eu/api" in message.body for message in resolved)


async def test_a_component_of_no_agreement_wakes_nobody() -> None:
    estate = await operated()
    await estate.becomes("eu/free", State.MAJOR_OUTAGE)
    assert await estate.rounds_for(HOUR) == []


async def test_degraded_is_no_outage_and_partial_is_one() -> None:
    estate = await operated()
    await estate.becomes("eu/api", State.DEGRADED)
    assert await estate.rounds_for(MINUTE) == []
    await estate.becomes("eu/api", State.PARTIAL_OUTAGE)
    assert await estate.rounds_for(MINUTE) == ["opened down:eu/api"]


async def test_when_nothing_is_known_an_open_alert_stays() -> None:
    estate = await operated()
    await estate.becomes("eu/api", State.MAJOR_OUTAGE)
    await estate.rounds_for(MINUTE)
    await estate.becomes("eu/api", State.UNKNOWN)
    changes = await estate.rounds_for(4 * HOUR)
    assert "resolved down:eu/api" not in changes
    assert "opened unknown:gold" in changes
    (blind,) = [alert for alert in (await estate.alerts.board()).alerts if alert.kind is Kind.UNKNOWN]
    assert blind.summary == "Gold (gold) cannot be judged: of eu/api 100 % of the last 1h is unknown"


async def test_the_same_alert_is_told_again_after_four_hours_and_not_before() -> None:
    estate = await operated()
    await estate.becomes("us/api", State.MAJOR_OUTAGE)
    await estate.rounds_for(HOUR)
    await estate.delivered()
    await estate.rounds_for(2 * HOUR)
    early = (await estate.delivered()).get("ops", [])
    assert not any("still:" in message.title for message in early)
    await estate.rounds_for(4 * HOUR)
    assert any("still:" in message.title for message in (await estate.delivered())["ops"])


async def test_a_channel_that_is_away_is_not_flooded_when_it_is_back() -> None:
    estate = await operated()
    estate.notifier.refusing.add("ops")
    await estate.becomes("us/api", State.MAJOR_OUTAGE)
    for _ in range(20):
        await estate.rounds_for(HOUR)
        await estate.delivered()
    estate.notifier.refusing.clear()
    estate.clock.advance(HOUR.total_seconds())
    got = (await estate.delivered())["ops"]
    assert not any("still:" in message.title for message in got)
    assert "down:us/api" in got[0].body


async def test_a_silence_keeps_everybody_quiet_and_its_end_tells_what_is_open() -> None:
    estate = await operated()
    made = await estate.alerts.silence("eu/api", HOUR, "we know", "ann")
    burn = await estate.alerts.silence("burn:*", HOUR, "we know", "ann")
    await estate.becomes("eu/api", State.MAJOR_OUTAGE)
    assert await estate.rounds_for(10 * MINUTE) == ["opened down:eu/api", "opened burn:gold"]
    assert await estate.delivered() == {}
    assert {alert.muted_by for alert in (await estate.alerts.board()).alerts} == {
        f"silence {made.id}: we know",
        f"silence {burn.id}: we know",
    }
    assert await estate.alerts.expire(made.id, "ann")
    await estate.rounds_for(MINUTE)
    (page,) = (await estate.delivered())["ops"]
    assert page.title.startswith("[PAGE] eu/api is down")


async def test_what_ended_in_a_silence_is_told_to_those_who_knew() -> None:
    estate = await operated()
    await estate.becomes("eu/api", State.MAJOR_OUTAGE)
    await estate.rounds_for(MINUTE)
    assert set(await estate.delivered()) == {"ops", "desk"}
    await estate.alerts.silence("*", DAY, "we know", "ann")
    await estate.becomes("eu/api", State.OPERATIONAL)
    await estate.rounds_for(20 * MINUTE)
    (told,) = (await estate.delivered())["ops"]
    assert told.title.startswith("[RESOLVED]")
    assert told.severity is None


async def test_maintenance_mutes_what_it_covers_and_no_more() -> None:
    estate = await operated()
    covered = estate.inventory.component_id("eu", "api")
    estate.availability.announce(Window(T0, T0 + HOUR), [covered], "new switch")
    await estate.becomes("eu/api", State.MAJOR_OUTAGE)
    await estate.becomes("us/api", State.MAJOR_OUTAGE)
    await estate.rounds_for(MINUTE)
    got = await estate.delivered()
    assert [message.title[:22] for message in got["ops"]] == ["[PAGE] us/api is down "]
    (muted,) = [alert for alert in (await estate.alerts.board()).alerts if alert.subject == "eu/api"]
    assert muted.muted_by == "maintenance 1: new switch"
    await estate.rounds_for(HOUR)
    later = (await estate.delivered())["ops"]
    assert any("eu/api is down since 2026-11-10 12:00:00Z" in message.body for message in later)


async def test_maintenance_with_notice_burns_no_budget_and_without_it_does() -> None:
    estate = await operated()
    gold = [estate.inventory.component_id("eu", "api")]
    estate.availability.announce(Window(T0 + HOUR, T0 + 2 * HOUR), gold, "announced")
    estate.clock.jump_to(T0 + HOUR)
    await estate.becomes("eu/api", State.MAJOR_OUTAGE)
    assert await estate.rounds_for(30 * MINUTE) == ["opened down:eu/api"]
    hasty = await operated()
    hasty.availability.announce(Window(T0, T0 + HOUR), gold, "too late")
    await hasty.becomes("eu/api", State.MAJOR_OUTAGE)
    assert "opened burn:gold" in await hasty.rounds_for(30 * MINUTE)


async def test_a_spent_budget_is_a_ticket_of_its_own() -> None:
    estate = await operated()
    await estate.becomes("us/api", State.MAJOR_OUTAGE)
    changes = await estate.rounds_for(HOUR)
    assert "opened budget:us" in changes
    (budget,) = [alert for alert in (await estate.alerts.board()).alerts if alert.kind.value == "budget"]
    assert budget.severity is Severity.TICKET
    assert budget.summary == "America (us) has spent its error budget: 59m15s of 43m12s"
    assert budget.facts["because_of"] is None


async def test_an_objective_of_a_hundred_percent_fires_at_any_downtime_and_says_so() -> None:
    estate = await operated(
        EXAMPLE.replace("components: [us/api], objective: 99.9", "components: [us/api], objective: 100")
    )
    await estate.becomes("us/api", State.MAJOR_OUTAGE)
    assert await estate.rounds_for(ROUND) == ["opened down:us/api", "opened burn:us", "opened budget:us"]
    alerts = {alert.key: alert.summary for alert in (await estate.alerts.board()).alerts}
    assert "infinitely fast" in alerts["burn:us"]
    assert alerts["budget:us"] == "America (us) allows no downtime, and had 15s"


async def test_a_fresh_installation_is_not_called_blind_and_one_that_hears_nothing_is() -> None:
    fresh = Operated()
    fresh.clock.jump_to(T0)
    assert await fresh.rounds_for(20 * MINUTE) == []
    for name in ("eu/web", "eu/api", "us/api"):
        await fresh.becomes(name, State.OPERATIONAL)
    assert await fresh.rounds_for(HOUR) == []
    deaf = Operated()
    deaf.clock.jump_to(T0)
    assert sorted(await deaf.rounds_for(HOUR)) == ["opened unknown:gold", "opened unknown:us"]
    (blind, _) = (await deaf.alerts.board()).alerts
    assert "cannot be judged" in blind.summary


async def test_sample_history_wakes_nobody() -> None:
    estate = Operated()
    for name in ("eu/web", "eu/api", "us/api"):
        await estate.becomes(name, State.MAJOR_OUTAGE, sample=True)
    estate.clock.jump_to(T0)
    assert await estate.rounds_for(MINUTE) == []
    for name in ("eu/web", "eu/api", "us/api"):
        await estate.becomes(name, State.OPERATIONAL)
    assert await estate.rounds_for(HOUR) == []


async def test_another_controller_goes_on_where_the_first_one_was() -> None:
    estate = await operated()
    await estate.becomes("us/api", State.MAJOR_OUTAGE)
    await estate.rounds_for(MINUTE)
    before = await estate.alerts.board()
    estate.rounds = estate.another_controller()
    assert await estate.rounds_for(MINUTE) == []
    after = await estate.alerts.board()
    assert [alert.id for alert in after.alerts] == [alert.id for alert in before.alerts]
    down, with_burn = (await estate.delivered())["ops"]
    assert with_burn.title == f"{down.title} (+1)"


async def test_a_round_on_an_old_board_is_dropped() -> None:
    estate = await operated()
    await estate.becomes("us/api", State.MAJOR_OUTAGE)
    board = estate.alerts.board

    async def overtaken() -> object:
        old = await board()
        if old.version == 0:
            estate.alerts.board = board  # type: ignore[method-assign]
            await estate.another_controller().run_once()
        return old

    estate.alerts.board = overtaken  # type: ignore[assignment,method-assign]
    assert await estate.round() == ()
    assert [event for event, _ in estate.events] == ["alert_opened", "alert_round_overtaken"]
    assert len((await estate.alerts.board()).alerts) == 1


async def test_what_leaves_the_estate_ends() -> None:
    estate = await operated()
    await estate.becomes("us/api", State.MAJOR_OUTAGE)
    await estate.rounds_for(MINUTE)
    await estate.delivered()
    start, end = EXAMPLE.index("  us: {customer"), EXAMPLE.index("alerts:")
    estate.put(EXAMPLE[:start] + EXAMPLE[end:])
    assert "resolved down:us/api" in await estate.rounds_for(ROUND)
    await estate.rounds_for(MINUTE)
    assert (await estate.delivered())["ops"][-1].title.startswith("[RESOLVED]")


async def test_an_estate_without_agreements_or_channels_is_fine() -> None:
    estate = await operated(EXAMPLE[: EXAMPLE.index("alerts:")])
    await estate.becomes("us/api", State.MAJOR_OUTAGE)
    assert "opened down:us/api" in await estate.rounds_for(MINUTE)
    assert await estate.delivered() == {}
    bare = await operated(EXAMPLE[: EXAMPLE.index("customers:")])
    await bare.becomes("us/api", State.MAJOR_OUTAGE)
    assert await bare.rounds_for(MINUTE) == []


async def test_a_burn_stays_open_while_nothing_says_that_it_has_stopped() -> None:
    estate = await operated()
    await estate.becomes("us/api", State.MAJOR_OUTAGE)
    assert "opened burn:us" in await estate.rounds_for(5 * MINUTE)
    await estate.becomes("us/api", State.UNKNOWN)
    # Well after the longest short window, in which the outage itself burned.
    assert "resolved burn:us" not in await estate.rounds_for(10 * HOUR)
    await estate.becomes("us/api", State.OPERATIONAL)
    assert "resolved burn:us" in await estate.rounds_for(6 * HOUR)
