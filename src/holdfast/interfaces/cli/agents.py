"""`holdfast agent`: which vantage points may deliver results."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

import typer

from holdfast.interfaces.cli.options import AsJson, Config, DataDir, place
from holdfast.interfaces.cli.output import fail, print_json, print_table, told
from holdfast.interfaces.cli.ports import AgentLogin, Commands

Key = Annotated[str, typer.Argument(metavar="KEY", help="A vantage point's key in the estate file.")]


def build(commands: Callable[[], Commands]) -> typer.Typer:
    app = typer.Typer(help="Agents: who runs checks from elsewhere.", no_args_is_help=True)

    @app.command()
    def add(key: Key, config: Config, data_dir: DataDir, as_json: AsJson = False) -> None:
        """Make a token for a vantage point and print it, this once. Adding it again replaces its token."""
        with told(as_json=as_json):
            token = commands().agent_add(place(config, data_dir), key)
        if as_json:
            print_json({"vantage": key, "token": token})
        else:
            typer.echo(token)
            typer.echo(
                f"Put it in a file (chmod 600) where {key} is, and start there:\n"
                "  holdfast serve agent --controller URL --token-file FILE",
                err=True,
            )

    @app.command("list")
    def list_(config: Config, data_dir: DataDir, as_json: AsJson = False) -> None:
        """Show every vantage point, whether it may deliver, and when it was heard of last."""
        with told(as_json=as_json):
            found = commands().agent_list(place(config, data_dir))
        if as_json:
            print_json([_plain(each) for each in found])
            return
        rows = [
            (
                each.key,
                each.name,
                _standing(each),
                _moment(each.last_seen_at),
                each.last_address,
            )
            for each in found
        ]
        headings = ("vantage point", "name", "token", "last seen", "from")
        print_table(dict.fromkeys(headings, "left"), rows)

    @app.command()
    def revoke(key: Key, config: Config, data_dir: DataDir, as_json: AsJson = False) -> None:
        """Make a vantage point's token worth nothing, at once."""
        with told(as_json=as_json):
            done = commands().agent_revoke(place(config, data_dir), key)
        if not done:
            fail(f"{key!r} has no token in force", "holdfast agent list", as_json=as_json)
        print_json({"revoked": key}) if as_json else typer.echo(f"revoked the token of {key}")

    return app


def _standing(login: AgentLogin) -> str:
    if not login.declared:
        return "not in the estate"
    if login.added_at is None:
        return "none yet"
    if login.revoked_at is not None:
        return f"revoked {_moment(login.revoked_at)}"
    return f"since {_moment(login.added_at)}"


def _plain(login: AgentLogin) -> dict[str, object]:
    return {
        "vantage": login.key,
        "name": login.name,
        "declared": login.declared,
        "added_at": login.added_at,
        "revoked_at": login.revoked_at,
        "last_seen_at": login.last_seen_at,
        "last_address": login.last_address or None,
    }


def _moment(at: datetime | None) -> str:
    return "" if at is None else f"{at:%Y-%m-%d %H:%M:%S}Z"
