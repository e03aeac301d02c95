"""`holdfast ledger person`: what is known of a person beside the log, and erasing it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from holdfast.interfaces.cli.options import AsJson, Config, DataDir, place
from holdfast.interfaces.cli.output import fail, print_json, print_table, told

if TYPE_CHECKING:
    from datetime import datetime

    from holdfast.interfaces.cli.ledger.ports import LedgerCommands
    from holdfast.interfaces.cli.ports import Place
    from holdfast.ledger.persons.erasure import Erasure

OfTenant = Annotated[str, typer.Option("--tenant", "-t", metavar="TENANT", help="The tenant's key.")]
Login = Annotated[str | None, typer.Option("--login", help="Who it is, as sources name them.")]
User = Annotated[
    str | None, typer.Option("--user", metavar="PSEUDONYM", help="Or the pseudonym, as entries have it.")
]


@dataclass(frozen=True, slots=True)
class Whom:
    """Whom a command is about: one of `login` and `user` is there."""

    tenant: str
    login: str | None
    user: str | None


@dataclass(frozen=True, slots=True)
class PersonShown:
    """What is known of a person. `told` has what sources told of them, oldest first: login, name, mail."""

    tenant: str
    user: str
    rows: int
    told: Sequence[Mapping[str, str]]
    asked_at: datetime | None
    """When their erasure was asked for."""
    erased_at: datetime | None
    """When the first key store destroyed their keys."""
    done_at: datetime | None
    """When the last one had."""


@dataclass(frozen=True, slots=True)
class ErasureOutcome:
    """What came of it. `away` tells by key store why it was not reached; done when in none."""

    tenant: str
    user: str
    asked_at: datetime
    done_at: datetime | None
    gone_from: Sequence[str]
    away: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class StoreShown:
    """A store of persons' keys. `away`: why it cannot be reached; the figures are 0 then."""

    store: str
    persons: int = 0
    erased: int = 0
    damaged: int = 0
    away: str = ""


@dataclass(frozen=True, slots=True)
class StoresOutcome:
    """All stores, and what they lacked beside each other and got now."""

    stores: Sequence[StoreShown]
    copied: int
    erased: int


class PersonCommands(Protocol):
    """What these commands need behind them."""

    def show(self, place: Place, whom: Whom) -> PersonShown:
        """Who looked is in the journal before it returns."""
        ...

    def preview(self, place: Place, whom: Whom) -> PersonShown:
        """The same without what is told of them."""
        ...

    def erase(self, place: Place, whom: Whom, reason: str) -> ErasureOutcome: ...

    def erasures(self, place: Place) -> Sequence[Erasure]:
        """All, oldest first."""
        ...

    def stores(self, place: Place, *, make: bool) -> StoresOutcome:
        """With `make` those that are not there are made."""
        ...


def add_persons(app: typer.Typer, commands: Callable[[], LedgerCommands]) -> None:
    """Add `holdfast ledger person`."""
    group = typer.Typer(help="Persons: what is known of them, and erasing it.", no_args_is_help=True)
    app.add_typer(group, name="person")
    _add_show(group, commands)
    _add_erase(group, commands)
    _add_lists(group, commands)


def _add_show(group: typer.Typer, commands: Callable[[], LedgerCommands]) -> None:
    @group.command()
    def show(
        tenant: OfTenant,
        config: Config,
        data_dir: DataDir,
        login: Login = None,
        user: User = None,
        as_json: AsJson = False,
    ) -> None:
        """Show what is known of a person. That you looked is in the journal."""
        whom = _whom(tenant, login, user, as_json=as_json)
        with told(as_json=as_json):
            shown = commands().ledger_persons().show(place(config, data_dir), whom)
        if as_json:
            print_json(asdict(shown))
            return
        _print_person(shown)
        if shown.told:
            columns = dict.fromkeys(("login", "name", "mail"), "left")
            print_table(columns, [[each.get(name, "") for name in columns] for each in shown.told])


def _add_erase(group: typer.Typer, commands: Callable[[], LedgerCommands]) -> None:
    @group.command()
    def erase(
        tenant: OfTenant,
        config: Config,
        data_dir: DataDir,
        login: Login = None,
        user: User = None,
        reason: Annotated[
            str, typer.Option("--reason", help="For the journal, which keeps it for ever: name nobody.")
        ] = "",
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show whom it would erase.")] = False,
        yes: Annotated[bool, typer.Option("--yes", help="Erase without asking.")] = False,
        as_json: AsJson = False,
    ) -> None:
        """Destroy a person's keys for ever. Entries and proofs stay; whom they are about nobody can tell."""
        whom = _whom(tenant, login, user, as_json=as_json)
        if not dry_run and not reason.strip():
            fail("an erasure needs a reason", '--reason "asked for it on 2026-11-20"', as_json=as_json)
        with told(as_json=as_json):
            preview = commands().ledger_persons().preview(place(config, data_dir), whom)
        if dry_run:
            print_json(asdict(preview)) if as_json else _print_person(preview)
            return
        if not as_json:
            _print_person(preview)
        if not yes and (as_json or not typer.confirm("Destroy the keys? It cannot be undone.", err=True)):
            fail("nobody was erased", "--yes does not ask", as_json=as_json)
        with told(as_json=as_json):
            outcome = commands().ledger_persons().erase(place(config, data_dir), whom, reason.strip())
        if as_json:
            print_json(asdict(outcome))
        else:
            _print_erasure(outcome)
        if outcome.away:
            raise typer.Exit(1)


def _add_lists(group: typer.Typer, commands: Callable[[], LedgerCommands]) -> None:
    @group.command()
    def erasures(config: Config, data_dir: DataDir, as_json: AsJson = False) -> None:
        """Show all erasures, and which are not done yet."""
        with told(as_json=as_json):
            found = commands().ledger_persons().erasures(place(config, data_dir))
        if as_json:
            print_json([asdict(each) for each in found])
            return
        headings = ("user", "tenant", "asked", "by", "done", "reason")
        rows = [
            (each.pseudonym, each.tenant, _day(each.asked_at), each.actor, _day(each.done_at), each.reason)
            for each in found
        ]
        print_table(dict.fromkeys(headings, "left"), rows)

    @group.command()
    def stores(
        config: Config,
        data_dir: DataDir,
        make: Annotated[
            bool, typer.Option("--make", help="Make an empty store in each declared folder without one.")
        ] = False,
        as_json: AsJson = False,
    ) -> None:
        """Show the stores of persons' keys, and give each what it lacks beside the others."""
        with told(as_json=as_json):
            outcome = commands().ledger_persons().stores(place(config, data_dir), make=make)
        if as_json:
            print_json(asdict(outcome))
        else:
            _print_stores(outcome)
        if any(each.away or each.damaged for each in outcome.stores):
            raise typer.Exit(1)


def _whom(tenant: str, login: str | None, user: str | None, *, as_json: bool) -> Whom:
    if (login is None) == (user is None):
        fail("say who it is", "--login NAME, or --user PSEUDONYM", as_json=as_json)
    return Whom(tenant, login, user)


def _print_person(shown: PersonShown) -> None:
    rows = f"{shown.rows} {'row' if shown.rows == 1 else 'rows'} kept beside the log"
    typer.echo(f"{shown.user} of {shown.tenant}: {rows}")
    if shown.done_at:
        typer.echo(f"erased at {shown.done_at:%Y-%m-%d %H:%M} UTC")
    elif shown.erased_at:
        typer.echo(f"erased at {shown.erased_at:%Y-%m-%d %H:%M} UTC, but perhaps not in every key store")
    elif shown.asked_at:
        typer.echo(f"to be erased since {shown.asked_at:%Y-%m-%d %H:%M} UTC; no key store has done it yet")


def _print_erasure(outcome: ErasureOutcome) -> None:
    for store in outcome.gone_from:
        typer.echo(f"the keys are gone from {store}")
    for store, why in outcome.away.items():
        typer.echo(f"holdfast: {store} was not reached: {why}", err=True)
    if outcome.done_at:
        typer.echo(f"{outcome.user} was erased at {outcome.done_at:%Y-%m-%d %H:%M} UTC")
    else:
        typer.echo(
            f"holdfast: {outcome.user} is not erased yet\n"
            "  hint: the ledger's process goes on trying; see holdfast ledger person erasures",
            err=True,
        )


def _print_stores(outcome: StoresOutcome) -> None:
    headings = {"store": "left", "persons": "right", "erased": "right", "damaged": "right"}
    print_table(headings, [(each.store, each.persons, each.erased, each.damaged) for each in outcome.stores])
    if outcome.copied or outcome.erased:
        typer.echo(f"carried from store to store: keys {outcome.copied}, erasures {outcome.erased}")
    for each in outcome.stores:
        if each.away:
            typer.echo(f"holdfast: {each.store}: {each.away}", err=True)


def _day(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M}" if moment else "not yet"
