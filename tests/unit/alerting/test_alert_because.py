"""Alerts name what an outage is because of."""

from datetime import timedelta

from alerting_estates import EXAMPLE, Operated

from holdfast.availability.alerting.model import Kind
from holdfast.availability.model import State

MINUTE = timedelta(minutes=1)
WITH_DEPENDENCY = EXAMPLE.replace(
    "api: {name: API, checks", "api: {name: API, depends_on: [eu/free], checks", 1
)


async def test_an_outage_names_the_dependency_that_explains_it_also_one_of_no_agreement() -> None:
    estate = await Operated(WITH_DEPENDENCY).heard()
    await estate.becomes("eu/free", State.MAJOR_OUTAGE)
    await estate.becomes("eu/api", State.MAJOR_OUTAGE, "connection refused")
    await estate.rounds_for(MINUTE)
    (alert,) = [each for each in (await estate.alerts.board()).alerts if each.kind is Kind.DOWN]
    assert (alert.subject, alert.facts["because_of"]) == ("eu/api", "eu/free")
    (page, *_) = (await estate.delivered())["ops"]
    assert "because of eu/free" in page.body


async def test_an_outage_of_its_own_names_none() -> None:
    estate = await Operated(WITH_DEPENDENCY).heard()
    await estate.becomes("eu/api", State.MAJOR_OUTAGE)
    await estate.rounds_for(5 * MINUTE)
    await estate.becomes("eu/free", State.MAJOR_OUTAGE)
    await estate.rounds_for(MINUTE)
    (alert,) = [each for each in (await estate.alerts.board()).alerts if each.kind is Kind.DOWN]
    assert alert.facts["because_of"] is None
