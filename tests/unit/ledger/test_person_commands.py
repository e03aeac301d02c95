"""What `holdfast ledger person`, `prune` and `hold` ask, say and exit with."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner, Result

from holdfast.interfaces.cli.ledger.group import build
from holdfast.interfaces.cli.ledger.persons import (
    ErasureOutcome,
    PersonShown,
    StoreShown,
    StoresOutcome,
    Whom,
)
from holdfast.interfaces.cli.ledger.retention import PruneOutcome
from holdfast.interfaces.cli.ports import Place
from holdfast.ledger.errors import OnHold
from holdfast.ledger.persons.erasure import Erasure
from holdfast.ledger.persons.retention import Hold, Kept

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
SHOWN = PersonShown("acme", "p-1", 2, [{"login": "ada", "name": "Ada King"}], None, None, None)
KEPT = Kept("acme", 1, 9000, 30, None, 600, 9000, 8960, 9000, 9000, 300, 600)


class Fake:
    """Both protocols, and what was asked of them."""

    def __init__(self) -> None:
        self.erased: list[tuple[Whom, str]] = []
        self.away: Mapping[str, str] = {}
        self.hold_stands = False
        self.kept = KEPT

    def ledger_persons(self) -> "Fake":
        return self

    def ledger_retention(self) -> "Fake":
        return self

    def show(self, place: Place, whom: Whom) -> PersonShown:  # noqa: ARG002
        return SHOWN

    def preview(self, place: Place, whom: Whom) -> PersonShown:  # noqa: ARG002
        if self.hold_stands:
            raise OnHold("a legal hold stands on the tenant 'acme': court order", hint="lift it")
        return replace(SHOWN, told=[])

    def erase(self, place: Place, whom: Whom, reason: str) -> ErasureOutcome:  # noqa: ARG002
        self.erased.append((whom, reason))
        return ErasureOutcome("acme", "p-1", NOON, None if self.away else NOON, ["/west"], self.away)

    def erasures(self, place: Place) -> Sequence[Erasure]:  # noqa: ARG002
        return [Erasure("acme", "p-1", "olga", "asked", NOON), Erasure("acme", "p-2", "o", "r", NOON, NOON)]

    def stores(self, place: Place, *, make: bool) -> StoresOutcome:  # noqa: ARG002
        stores = [StoreShown("/west", 12, 3), StoreShown("/east", away="it is not mounted")]
        return StoresOutcome(stores[: 1 if make else 2], 4, 1)

    def prune(self, place: Place, *, dry_run: bool) -> PruneOutcome:  # noqa: ARG002
        if dry_run:
            return PruneOutcome([self.kept], True, {}, 0, 0, ())
        return PruneOutcome([self.kept], False, {"acme": 600}, 7, 4096, ("segment_202608",))

    def hold(self, place: Place, tenant: str, reason: str) -> bool:  # noqa: ARG002
        return not self.hold_stands

    def lift(self, place: Place, tenant: str) -> bool:  # noqa: ARG002
        return self.hold_stands

    def holds(self, place: Place, tenant: str | None) -> Sequence[Hold]:  # noqa: ARG002
        return [Hold("acme", "court order", "olga", NOON, NOON, "otto")]


@pytest.fixture
def fake() -> Fake:
    return Fake()


def run(fake: Fake, *arguments: str, answer: str = "") -> Result:
    wide = {"COLUMNS": "160"}
    return CliRunner().invoke(build(lambda: fake), [*arguments], input=answer, env=wide)  # type: ignore[arg-type,return-value]


ERASE = ("person", "erase", "--tenant", "acme", "--login", "ada")
WHY = ("--reason", "asked for it")


def test_a_person_is_erased_once_somebody_said_yes(fake: Fake) -> None:
    for refused in (run(fake, *ERASE, *WHY, answer="n\n"), run(fake, *ERASE, *WHY, "--json")):
        assert (refused.exit_code, fake.erased) == (1, [])
    assert run(fake, *ERASE, "--dry-run").exit_code == 0
    assert fake.erased == []
    done = run(fake, *ERASE, *WHY, answer="y\n")
    assert done.exit_code == 0
    assert "p-1 was erased at 2026-11-22 12:00 UTC" in done.stdout
    assert fake.erased == [(Whom("acme", "ada", None), "asked for it")]
    assert run(fake, *ERASE, *WHY, "--yes", "--json").exit_code == 0


def test_an_erasure_that_a_store_was_away_for_is_no_success(fake: Fake) -> None:
    fake.away = {"/east": "it is not mounted"}
    half = run(fake, *ERASE, *WHY, "--yes")
    assert half.exit_code == 1
    assert "/east was not reached: it is not mounted" in half.stderr
    assert "not erased yet" in half.stderr
    assert json.loads(run(fake, *ERASE, *WHY, "--yes", "--json").stdout)["done_at"] is None


@pytest.mark.parametrize(
    "arguments",
    [
        (*ERASE, "--yes"),
        (*ERASE, "--user", "p-1", *WHY, "--yes"),
        ("person", "erase", "--tenant", "acme", *WHY, "--yes"),
        ("person", "show", "--tenant", "acme"),
        ("hold", "place", "acme", "--reason", " "),
    ],
)
def test_what_is_not_said_is_asked_for(fake: Fake, arguments: Sequence[str]) -> None:
    said = run(fake, *arguments)
    assert said.exit_code == 1
    assert said.stderr.startswith("holdfast: ")
    assert fake.erased == []


def test_a_hold_is_told_before_anybody_is_asked(fake: Fake) -> None:
    fake.hold_stands = True
    said = run(fake, *ERASE, *WHY, "--yes")
    assert (said.exit_code, fake.erased) == (1, [])
    assert "court order" in said.stderr
    assert "already" in run(fake, "hold", "place", "acme", "--reason", "another").stdout
    assert "lifted" in run(fake, "hold", "lift", "acme").stdout
    assert "by otto" in run(fake, "hold", "list").stdout


def test_persons_and_stores_are_shown(fake: Fake) -> None:
    shown = run(fake, "person", "show", "--tenant", "acme", "--user", "p-1")
    assert "p-1 of acme: 2 rows kept beside the log" in shown.stdout
    assert "Ada King" in shown.stdout
    assert "not yet" in run(fake, "person", "erasures").stdout
    stores = run(fake, "person", "stores")
    assert stores.exit_code == 1
    assert "/east: it is not mounted" in stores.stderr
    assert "keys 4, erasures 1" in stores.stdout
    assert run(fake, "person", "stores", "--make").exit_code == 0


def test_pruning_says_what_goes_and_what_others_wait_for(fake: Fake) -> None:
    going = run(fake, "prune", "--dry-run").stdout
    assert "would go" in going
    assert "9,000" in going
    went = run(fake, "prune").stdout
    assert "7 segments, 4.1 kB; dropped whole: segment_202608" in went
    fake.kept = replace(KEPT, hold="court order")
    told = json.loads(run(fake, "prune", "--dry-run", "--json").stdout)["before"][0]
    assert (told["going"], told["waits_for"]) == (0, "a legal hold: court order")
    fake.kept = replace(KEPT, folded=300, up_to=300)
    assert "a follower that has not read them" in run(fake, "prune", "--dry-run").stdout
