"""`holdfast account` and `holdfast token`: who and what may log in."""

import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated

import typer

from holdfast.interfaces.cli.admitting import AccountOutcome, AccountRequest, AccountShown, TokenShown
from holdfast.interfaces.cli.options import AsJson, Config, DataDir, place
from holdfast.interfaces.cli.output import fail, print_json, print_table, told
from holdfast.interfaces.cli.ports import Commands

LONGEST_PASSWORD = 4096
ROLES = "viewer, communicator, operator, commander or admin"

Name = Annotated[str, typer.Argument(metavar="NAME", help="What they log in with.")]
PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from stdin, up to the first line end.")
]


def build(commands: Callable[[], Commands]) -> typer.Typer:
    app = typer.Typer(help="Accounts: who may log in to the console.", no_args_is_help=True)
    _add_making(app, commands)
    _add_changing(app, commands)
    return app


def _add_making(app: typer.Typer, commands: Callable[[], Commands]) -> None:
    @app.command()
    def add(
        name: Name,
        config: Config,
        data_dir: DataDir,
        role: Annotated[str, typer.Option("--role", help=ROLES)] = "viewer",
        full_name: Annotated[str, typer.Option("--full-name", help="As colleagues know them.")] = "",
        customer: Annotated[
            str | None,
            typer.Option("--customer", help="Only this customer's private page, and nothing else."),
        ] = None,
        password_stdin: PasswordStdin = False,
        as_json: AsJson = False,
    ) -> None:
        """Make an account, and print a link with which its owner chooses a password, once."""
        password = _from_stdin() if password_stdin else None
        request = AccountRequest("add", name, role, full_name, customer, password)
        with told(as_json=as_json):
            outcome = commands().account(place(config, data_dir), request)
        _say(outcome, f"added {outcome.account.name} ({outcome.account.role})", as_json=as_json)

    @app.command("list")
    def list_(config: Config, data_dir: DataDir, as_json: AsJson = False) -> None:
        """Show every account."""
        with told(as_json=as_json):
            found = commands().account_list(place(config, data_dir))
        if as_json:
            print_json([_plain(each) for each in found])
            return
        rows = [
            (
                each.name,
                each.full_name,
                each.role + (f" of {each.customer}" if each.customer else ""),
                "single sign-on" if each.single_sign_on else ("yes" if each.second_factor else "no"),
                f"{each.disabled_at:%Y-%m-%d %H:%M}Z" if each.disabled_at else "",
            )
            for each in found
        ]
        print_table(dict.fromkeys(("name", "full name", "role", "second factor", "disabled"), "left"), rows)

    @app.command()
    def invite(name: Name, config: Config, data_dir: DataDir, as_json: AsJson = False) -> None:
        """Print a link with which the account's owner chooses a new password, once."""
        with told(as_json=as_json):
            outcome = commands().account(place(config, data_dir), AccountRequest("invite", name))
        _say(outcome, f"invited {outcome.account.name}", as_json=as_json)


def _add_changing(app: typer.Typer, commands: Callable[[], Commands]) -> None:
    @app.command()
    def role(
        name: Name,
        role: Annotated[str, typer.Argument(metavar="ROLE", help=ROLES)],
        config: Config,
        data_dir: DataDir,
        as_json: AsJson = False,
    ) -> None:
        """Change what an account may do; it counts at once."""
        with told(as_json=as_json):
            outcome = commands().account(place(config, data_dir), AccountRequest("role", name, role))
        _say(outcome, f"{outcome.account.name} is now {outcome.account.role}", as_json=as_json)

    @app.command()
    def disable(name: Name, config: Config, data_dir: DataDir, as_json: AsJson = False) -> None:
        """Log somebody out everywhere, and let them log in no more."""
        with told(as_json=as_json):
            outcome = commands().account(place(config, data_dir), AccountRequest("disable", name))
        _say(outcome, f"disabled {outcome.account.name}", as_json=as_json)

    @app.command()
    def enable(name: Name, config: Config, data_dir: DataDir, as_json: AsJson = False) -> None:
        """Let somebody who was disabled log in again."""
        with told(as_json=as_json):
            outcome = commands().account(place(config, data_dir), AccountRequest("enable", name))
        _say(outcome, f"enabled {outcome.account.name}", as_json=as_json)

    @app.command()
    def password(
        name: Name,
        config: Config,
        data_dir: DataDir,
        password_stdin: PasswordStdin = False,
        as_json: AsJson = False,
    ) -> None:
        """Set a password, from a prompt or stdin, and end the account's sessions."""
        chosen = _from_stdin() if password_stdin else _prompted()
        request = AccountRequest("password", name, password=chosen)
        with told(as_json=as_json):
            outcome = commands().account(place(config, data_dir), request)
        _say(outcome, f"set the password of {outcome.account.name}", as_json=as_json)

    @app.command("second-factor-reset")
    def second_factor_reset(name: Name, config: Config, data_dir: DataDir, as_json: AsJson = False) -> None:
        """Remove a second factor that is lost; the next login sets up another."""
        request = AccountRequest("second-factor-reset", name)
        with told(as_json=as_json):
            outcome = commands().account(place(config, data_dir), request)
        _say(outcome, f"reset the second factor of {outcome.account.name}", as_json=as_json)


def build_tokens(commands: Callable[[], Commands]) -> typer.Typer:
    app = typer.Typer(help="Tokens: what programs call the API with.", no_args_is_help=True)

    @app.command()
    def create(
        name: Annotated[str, typer.Argument(metavar="NAME", help="What it is for; the journal names it so.")],
        config: Config,
        data_dir: DataDir,
        scope: Annotated[
            list[str] | None,
            typer.Option("--scope", help="read, incidents:write, maintenance:write, ...; may be repeated."),
        ] = None,
        days: Annotated[
            int | None,
            typer.Option("--days", min=1, max=3650, help="How long it is valid; for good if left out."),
        ] = None,
        as_json: AsJson = False,
    ) -> None:
        """Make a token and print it, this once."""
        lasting = None if days is None else timedelta(days=days)
        with told(as_json=as_json):
            token, secret = commands().token_create(place(config, data_dir), name, scope or ["read"], lasting)
        if as_json:
            print_json({**_plain(token), "token": secret})
        else:
            typer.echo(secret)
            typer.echo("Put it where your program reads it; it is kept nowhere else.", err=True)

    @app.command("list")
    def list_(config: Config, data_dir: DataDir, as_json: AsJson = False) -> None:
        """Show every token, what it may do, and when it was used last."""
        with told(as_json=as_json):
            found = commands().token_list(place(config, data_dir))
        if as_json:
            print_json([_plain(each) for each in found])
            return
        rows = [
            (each.name, ", ".join(each.scopes), _standing(each), _day(each.last_used_at)) for each in found
        ]
        print_table(dict.fromkeys(("name", "scopes", "valid", "last used"), "left"), rows)

    @app.command()
    def revoke(
        name: Annotated[str, typer.Argument(metavar="NAME", help="As `holdfast token list` shows it.")],
        config: Config,
        data_dir: DataDir,
        as_json: AsJson = False,
    ) -> None:
        """Make a token worth nothing, at once."""
        with told(as_json=as_json):
            commands().token_revoke(place(config, data_dir), name)
        print_json({"revoked": name}) if as_json else typer.echo(f"revoked {name}")

    return app


def _from_stdin() -> str:
    line = sys.stdin.readline(LONGEST_PASSWORD).rstrip("\r\n")
    if not line:
        fail("there is no password on stdin", "pipe it in: --password-stdin < FILE")
    return line


def _prompted() -> str:
    if not sys.stdin.isatty():
        fail("there is no terminal to ask for the password on", "add --password-stdin")
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))


def _say(outcome: AccountOutcome, text: str, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                **_plain(outcome.account),
                "invitation": outcome.invitation,
                "invitation_until": outcome.invitation_until,
            }
        )
        return
    typer.echo(text)
    if outcome.invitation is not None and outcome.invitation_until is not None:
        typer.echo(outcome.invitation)
        typer.echo(
            f"Hand this link over in a way that nobody else reads. It works once, until "
            f"{outcome.invitation_until:%Y-%m-%d %H:%M} UTC.",
            err=True,
        )


def _plain(shown: AccountShown | TokenShown) -> dict[str, object]:
    return {name: getattr(shown, name) for name in type(shown).__dataclass_fields__}


def _standing(token: TokenShown) -> str:
    if token.revoked_at is not None:
        return f"revoked {_day(token.revoked_at)}"
    until = "until revoked" if token.expires_at is None else f"until {_day(token.expires_at)}"
    return until if token.in_force else f"expired {_day(token.expires_at)}"


def _day(at: object) -> str:
    return "" if at is None else f"{at:%Y-%m-%d %H:%M}Z"
