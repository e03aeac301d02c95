"""What a keeper goes by: what is in force, or what is known of it; and which copies are to be verified."""

from collections.abc import Coroutine, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar, cast

from tests.held import at, backup, holdings, wal

from holdfast.adapters.postgres.connect import Pool
from holdfast.availability.conditions import validate
from holdfast.backup.errors import NotFit
from holdfast.backup.model import Holdings, Target
from holdfast.backup.verify.verification import Standing, Verification, keep
from holdfast.backup.verify.verified_points import Which
from holdfast.bootstrap.backup.duties import KEPT_FOR, EstateDuties
from holdfast.bootstrap.backup.opening import regions_of
from holdfast.estate.backup import Keep
from holdfast.estate.loader import parse_estate
from holdfast.estate.model import Estate
from holdfast.interfaces.cli.ports import Place
from holdfast.kernel.clock import ManualClock
from holdfast.kernel.journal import JournalEntry

T = TypeVar("T")
NOW = at(100)
ESTATE = """
regions: {{west: {{name: West}}, north: {{name: North}}}}
clusters:
  eu:
    name: Europe
    region: west
    components: {{web: {{name: Website, checks: {{page: {{url: 'https://example.com/'}}}}}}}}
backup:
  stores: {{west: {{to: 'file://{folder}/west'}}, north: {{to: 'file://{folder}/north'}}}}
databases:
  shop:
    name: Orders
    cluster: eu
    connection: {{host: db.example.com}}
    copies: {{west: {{}}, north: {{}}}}
    keep: {{window: 2d, daily: 5}}
"""


class Answering:
    """A process whose database knows what is in force, or is away."""

    def __init__(self) -> None:
        self.keeps: Mapping[str, Keep] | None = None

    def tell(self, event: str, facts: Mapping[str, object]) -> None: ...

    def tell_entry(self, entry: JournalEntry) -> None: ...

    def ask(self, work: Coroutine[Any, Any, T]) -> T:
        work.close()
        if self.keeps is None:
            raise NotFit("it is away")
        return cast("T", self.keeps)


class Desk:
    def __init__(self, folder: Path) -> None:
        (folder / "holdfast.yaml").write_text(ESTATE.format(folder=folder))
        self.estate: Estate = parse_estate(
            (folder / "holdfast.yaml").read_bytes(), folder / "holdfast.yaml", validate
        )
        self.place = Place(folder / "holdfast.yaml", folder / "data")
        self.process, self.clock = Answering(), ManualClock(NOW)
        self.duties = EstateDuties(
            self.process, self.estate, "shop", self.place, cast("Pool", None), self.clock
        )

    def verified(self, region: str, hours: float, standing: Standing = Standing.PASSED) -> None:
        """A record of that in every region."""
        id_ = f"{at(hours):%Y%m%dT%H%M%SZ}-aaaaaa"
        record = Verification(
            id_, "shop", region, Which.NEWEST, Target(), None, at(hours), at(hours), standing
        )
        regions = regions_of(self.estate, "shop", self.place.config, self.place.data_dir)
        assert not keep(regions, record)


def held(region: str, *, empty: bool = False) -> Holdings:
    return holdings([] if empty else [backup(1)], [] if empty else wal(0, 6), region=region)


def test_while_nobody_knows_what_is_in_force_what_is_declared_is_locked_and_copied_by(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    assert desk.duties.keep("west") is None
    declared = desk.duties.known_keep("west")
    assert (declared.window, declared.daily) == (timedelta(days=2), 5)


def test_what_was_in_force_last_counts_where_it_is_wider(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    wide = Keep(window=timedelta(days=30), daily=1, weekly=0, monthly=0, minimum=1)
    desk.process.keeps = {"west": wide}
    assert desk.duties.known_keep("west") == wide
    desk.process.keeps = None
    desk.clock.advance(KEPT_FOR.total_seconds())
    assert desk.duties.keep("west") is None
    known = desk.duties.known_keep("west")
    assert (known.window, known.daily) == (timedelta(days=30), 5)


def test_each_region_is_verified_when_its_time_has_come_and_one_with_nothing_is_not(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    both = [held("west"), held("north")]
    assert desk.duties.unverified(both) == ["west", "north"]
    assert desk.duties.unverified([held("west"), held("north", empty=True)]) == ["west"]
    desk.verified("west", 99)
    assert desk.duties.unverified(both) == ["north"]
    desk.verified("north", 99.5, Standing.UNPROVEN)
    assert desk.duties.unverified(both) == []
    desk.clock.advance(timedelta(hours=1).total_seconds())
    assert desk.duties.unverified(both) == ["north"]
    desk.clock.advance(timedelta(hours=23).total_seconds())
    assert desk.duties.unverified(both) == ["west", "north"]


def test_what_one_region_alone_tells_of_a_verification_counts(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.verified("west", 99)
    lost = next((tmp_path / "north" / "shop" / "verifications").iterdir())
    lost.unlink()
    assert desk.duties.unverified([held("west"), held("north")]) == ["north"]
    # A region that does not answer is not asked, nor judged.
    assert desk.duties.unverified([held("north")]) == ["north"]
