"""`holdfast ledger tenant`: who the ledger is for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from holdfast.interfaces.cli.options import AsJson, Config, DataDir, place
from holdfast.interfaces.cli.output import fail, print_json, print_table, told
from holdfast.kernel.durations import parse_duration

if TYPE_CHECKING:
    from holdfast.interfaces.cli.ledger.ports import LedgerCommands
    from holdfast.interfaces.cli.ports import Place
    from holdfast.ledger.continuing import Continued
    from holdfast.ledger.sources import Tenant

AS_THE_ESTATE = "estate"
Key = Annotated[str, typer.Argument(metavar="KEY", help="The tenant's key, which names its log for ever.")]
Keep = Annotated[
    str,
    typer.Option("--keep", metavar="DURATION", help="How long entries can be read: 90d, or `estate`."),
]


class TenantCommands(Protocol):
    """What these commands need behind them. `keep` None: as the estate says."""

    def add(self, place: Place, key: str, name: str, time_zone: str, keep: timedelta | None) -> Tenant: ...

    def listed(self, place: Place) -> Sequence[Tenant]: ...

    def change(
        self,
        place: Place,
        key: str,
        *,
        name: str | None,
        time_zone: str | None,
        keep: timedelta | None,
        keep_as_estate: bool,
    ) -> Tenant:
        """What is None stays as it is."""
        ...

    def continue_(self, place: Place, key: str, into: str, reason: str) -> Continued:
        """The tenant's sources go on in another log, and the old one is closed."""
        ...


def add_tenants(app: typer.Typer, commands: Callable[[], LedgerCommands]) -> None:
    group = typer.Typer(help="Tenants: who the ledger is for.", no_args_is_help=True)
    app.add_typer(group, name="tenant")

    @group.command()
    def add(
        key: Key,
        config: Config,
        data_dir: DataDir,
        name: Annotated[str, typer.Option("--name", help="A name for people; left out: the key.")] = "",
        time_zone: Annotated[
            str, typer.Option("--time-zone", metavar="ZONE", help="Its days are of this time zone.")
        ] = "UTC",
        keep: Keep = AS_THE_ESTATE,
        as_json: AsJson = False,
    ) -> None:
        """Add a tenant. Its log begins with its first record."""
        lasting = _lasting(keep, as_json=as_json)
        with told(as_json=as_json):
            tenant = (
                commands().ledger_tenants().add(place(config, data_dir), key, name or key, time_zone, lasting)
            )
        if as_json:
            print_json(_plain(tenant))
            return
        typer.echo(f"added tenant {tenant.key}; next: holdfast ledger source add KEY --tenant {tenant.key}")

    @group.command("list")
    def list_(config: Config, data_dir: DataDir, as_json: AsJson = False) -> None:
        """Show all tenants."""
        with told(as_json=as_json):
            found = commands().ledger_tenants().listed(place(config, data_dir))
        if as_json:
            print_json([_plain(tenant) for tenant in found])
            return
        headings = ("tenant", "name", "time zone", "entries can be read", "added")
        print_table(
            dict.fromkeys(headings, "left"),
            [
                (each.key, each.name, each.time_zone, _kept(each), f"{each.added_at:%Y-%m-%d}")
                for each in found
            ],
        )

    @group.command()
    def change(
        key: Key,
        config: Config,
        data_dir: DataDir,
        name: Annotated[str | None, typer.Option("--name", help="A name for people.")] = None,
        time_zone: Annotated[
            str | None, typer.Option("--time-zone", metavar="ZONE", help="Its days are of this time zone.")
        ] = None,
        keep: Annotated[
            str | None,
            typer.Option(
                "--keep", metavar="DURATION", help="How long entries can be read: 90d, or `estate`."
            ),
        ] = None,
        as_json: AsJson = False,
    ) -> None:
        """Change a tenant. Reports are cut by its new time zone once they are rebuilt."""
        if name is None and time_zone is None and keep is None:
            fail("there is nothing to change", "say --name, --time-zone or --keep", as_json=as_json)
        with told(as_json=as_json):
            tenant = (
                commands()
                .ledger_tenants()
                .change(
                    place(config, data_dir),
                    key,
                    name=name,
                    time_zone=time_zone,
                    keep=None if keep is None else _lasting(keep, as_json=as_json),
                    keep_as_estate=keep == AS_THE_ESTATE,
                )
            )
        if as_json:
            print_json(_plain(tenant))
            return
        typer.echo(f"changed tenant {tenant.key}: {tenant.name}, {tenant.time_zone}, {_kept(tenant)}")

    _add_continue(group, commands)


def _add_continue(group: typer.Typer, commands: Callable[[], LedgerCommands]) -> None:
    @group.command("continue")
    def continue_(
        key: Key,
        config: Config,
        data_dir: DataDir,
        into: Annotated[str, typer.Option("--as", metavar="KEY", help="The new tenant's key.")],
        reason: Annotated[str, typer.Option("--reason", help="Why; kept in the journal for ever.")],
        yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
        as_json: AsJson = False,
    ) -> None:
        """Close a log whose leaves are lost for good, and go on in a new one.

        The tenant's sources move to the new tenant with new tokens, which are printed this once, and add
        nothing to the old log from then on. It stays readable, and verifiable up to its newest published
        checkpoint.
        """
        if not yes and not as_json:
            typer.confirm(f"Close the log of {key} for ever, and go on in one of {into}?", abort=True)
        with told(as_json=as_json):
            done = commands().ledger_tenants().continue_(place(config, data_dir), key, into, reason)
        if as_json:
            plain = {"closed": done.old.key, "tenant": _plain(done.new), "tokens": done.tokens}
            print_json(plain | {"importers": list(done.importers)})
            return
        typer.echo(f"the log of {key} is closed; {into} goes on")
        rows = [(source, token) for source, token in done.tokens.items()]
        if rows:
            print_table({"source": "left", "its new token": "left"}, rows)
        for source in done.importers:
            typer.echo(f"importer {source}: holdfast ledger ingest FILE --tenant {into} --source {source}")
        typer.echo(f"records that they post say `tenant`: {into}", err=True)


def _lasting(text: str, *, as_json: bool) -> timedelta | None:
    if text == AS_THE_ESTATE:
        return None
    try:
        return parse_duration(text)
    except ValueError as error:
        fail(str(error), as_json=as_json)


def _kept(tenant: Tenant) -> str:
    return "as the estate says" if tenant.keep_days is None else f"{tenant.keep_days} d"


def _plain(tenant: Tenant) -> dict[str, object]:
    return {
        "tenant": tenant.key,
        "name": tenant.name,
        "time_zone": tenant.time_zone,
        "keep_days": tenant.keep_days,
        "added_at": tenant.added_at,
    }
