"""`holdfast ledger source` and `token`: who may add to a tenant's log, and who may read it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from holdfast.interfaces.cli.options import AsJson, Config, DataDir, place
from holdfast.interfaces.cli.output import fail, print_json, print_table, told

if TYPE_CHECKING:
    from holdfast.interfaces.cli.ledger.ports import LedgerCommands
    from holdfast.interfaces.cli.ports import Place
    from holdfast.ledger.sources import Source, SourceToken

KINDS = ("device", "client", "importer")
IMPORTER = "importer"
Key = Annotated[str, typer.Argument(metavar="KEY", help="The source's key, within its tenant.")]
OfTenant = Annotated[str, typer.Option("--tenant", "-t", metavar="TENANT", help="The tenant's key.")]
MaybeTenant = Annotated[
    str | None, typer.Option("--tenant", "-t", metavar="TENANT", help="Of this tenant only.")
]


class SourceCommands(Protocol):
    """What these commands need behind them. A token's secret is returned once and kept nowhere."""

    def add(
        self, place: Place, tenant: str, key: str, kind: str, name: str
    ) -> tuple[Source, SourceToken | None, str]:
        """The source, its token and the secret; no token for an importer, which reads files."""
        ...

    def listed(self, place: Place, tenant: str | None) -> Sequence[Source]: ...

    def revoke(self, place: Place, tenant: str, key: str) -> bool: ...

    def token_create(
        self, place: Place, tenant: str, source: str | None, name: str
    ) -> tuple[SourceToken, str]: ...

    def token_list(self, place: Place, tenant: str | None) -> Sequence[SourceToken]: ...

    def token_revoke(self, place: Place, token_id: int) -> bool: ...


def add_sources(app: typer.Typer, commands: Callable[[], LedgerCommands]) -> None:
    _add_sources(app, commands)
    _add_tokens(app, commands)


def _add_sources(app: typer.Typer, commands: Callable[[], LedgerCommands]) -> None:
    group = typer.Typer(help="Sources: who adds to a tenant's log.", no_args_is_help=True)
    app.add_typer(group, name="source")

    @group.command()
    def add(
        key: Key,
        tenant: OfTenant,
        config: Config,
        data_dir: DataDir,
        kind: Annotated[str, typer.Option("--kind", help="device, client or importer (which reads files).")],
        name: Annotated[str, typer.Option("--name", help="A name for people; left out: the key.")] = "",
        as_json: AsJson = False,
    ) -> None:
        """Add a source and print its token, this once. An importer has none: it reads files here."""
        if kind not in KINDS:
            fail(f"there is no kind {kind!r} of source", f"there are: {', '.join(KINDS)}", as_json=as_json)
        with told(as_json=as_json):
            source, token, secret = (
                commands().ledger_sources().add(place(config, data_dir), tenant, key, kind, name or key)
            )
        if as_json:
            print_json(_plain(source) | {"token": secret or None, "token_id": token.id if token else None})
        elif token is None:
            typer.echo(
                f"added importer {key}; next: holdfast ledger ingest FILE --tenant {tenant} --source {key}"
            )
        else:
            typer.echo(secret)
            typer.echo(
                f"Give it to {key}, which posts with it: Authorization: Bearer {secret[:8]}...", err=True
            )

    @group.command("list")
    def list_(config: Config, data_dir: DataDir, tenant: MaybeTenant = None, as_json: AsJson = False) -> None:
        """Show all sources, also those that add nothing any more."""
        with told(as_json=as_json):
            found = commands().ledger_sources().listed(place(config, data_dir), tenant)
        if as_json:
            print_json([_plain(source) for source in found])
            return
        headings = ("source", "tenant", "kind", "name", "added", "standing")
        print_table(
            dict.fromkeys(headings, "left"),
            [
                (
                    each.key,
                    each.tenant,
                    each.kind.value,
                    each.name,
                    f"{each.added_at:%Y-%m-%d}",
                    _standing(each.revoked_at),
                )
                for each in found
            ],
        )

    @group.command()
    def revoke(
        key: Key, tenant: OfTenant, config: Config, data_dir: DataDir, as_json: AsJson = False
    ) -> None:
        """Let a source add nothing any more, at once. Its entries stay, and its key is not given again."""
        with told(as_json=as_json):
            done = commands().ledger_sources().revoke(place(config, data_dir), tenant, key)
        if not done:
            fail(
                f"tenant {tenant!r} has no source {key!r} in force",
                "holdfast ledger source list",
                as_json=as_json,
            )
        print_json({"revoked": key, "tenant": tenant}) if as_json else typer.echo(f"revoked source {key}")


def _add_tokens(app: typer.Typer, commands: Callable[[], LedgerCommands]) -> None:
    group = typer.Typer(help="Tokens: what sources post with, and readers read with.", no_args_is_help=True)
    app.add_typer(group, name="token")

    @group.command()
    def create(
        tenant: OfTenant,
        config: Config,
        data_dir: DataDir,
        source: Annotated[
            str | None, typer.Option("--source", "-s", metavar="SOURCE", help="It may add to this source.")
        ] = None,
        reader: Annotated[
            str | None,
            typer.Option(
                "--reader", metavar="NAME", help="It may read the tenant's log; NAME is in its trail."
            ),
        ] = None,
        as_json: AsJson = False,
    ) -> None:
        """Make a token and print it, this once. A source may have several: make a new one, revoke the old."""
        if (source is None) == (reader is None):
            fail("a token is a source's or a reader's", "say --source KEY or --reader NAME", as_json=as_json)
        with told(as_json=as_json):
            token, secret = (
                commands()
                .ledger_sources()
                .token_create(place(config, data_dir), tenant, source, reader or "")
            )
        if as_json:
            print_json(_plain_token(token) | {"token": secret})
            return
        typer.echo(secret)
        typer.echo(f"It is token {token.id}, and is shown this once.", err=True)

    @group.command("list")
    def list_(config: Config, data_dir: DataDir, tenant: MaybeTenant = None, as_json: AsJson = False) -> None:
        """Show all tokens, by number, and when each was used last. None shows its secret."""
        with told(as_json=as_json):
            found = commands().ledger_sources().token_list(place(config, data_dir), tenant)
        if as_json:
            print_json([_plain_token(token) for token in found])
            return
        headings = ("token", "tenant", "may", "created", "last used", "standing")
        print_table(
            dict.fromkeys(headings, "left"),
            [
                (
                    each.id,
                    each.tenant,
                    f"post as {each.source}" if each.source else f"read, as {each.name}",
                    _moment(each.added_at),
                    _moment(each.last_used_at),
                    _standing(each.revoked_at),
                )
                for each in found
            ],
        )

    @group.command()
    def revoke(
        token: Annotated[int, typer.Argument(metavar="TOKEN", help="Its number, as `token list` shows it.")],
        config: Config,
        data_dir: DataDir,
        as_json: AsJson = False,
    ) -> None:
        """Make a token worth nothing, at once."""
        with told(as_json=as_json):
            done = commands().ledger_sources().token_revoke(place(config, data_dir), token)
        if not done:
            fail(f"there is no token {token} in force", "holdfast ledger token list", as_json=as_json)
        print_json({"revoked": token}) if as_json else typer.echo(f"revoked token {token}")


def _standing(revoked_at: datetime | None) -> str:
    return "in force" if revoked_at is None else f"revoked {_moment(revoked_at)}"


def _moment(at: datetime | None) -> str:
    return "" if at is None else f"{at:%Y-%m-%d %H:%M:%S}Z"


def _plain(source: Source) -> dict[str, object]:
    return {
        "tenant": source.tenant,
        "source": source.key,
        "kind": source.kind.value,
        "name": source.name,
        "added_at": source.added_at,
        "revoked_at": source.revoked_at,
    }


def _plain_token(token: SourceToken) -> dict[str, object]:
    return {
        "token_id": token.id,
        "tenant": token.tenant,
        "source": token.source,
        "scope": token.scope.value,
        "name": token.name,
        "added_at": token.added_at,
        "revoked_at": token.revoked_at,
        "last_used_at": token.last_used_at,
    }
