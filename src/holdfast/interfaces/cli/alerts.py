"""`holdfast alert`: what is open, who is left alone, and whether the channels work."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any

import typer

from holdfast.availability.alerting.model import Alert, Silence, Waiting
from holdfast.interfaces.cli.options import AsJson, Config, DataDir, place
from holdfast.interfaces.cli.output import fail, print_json, print_table, told
from holdfast.interfaces.cli.ports import AlertStatus, Commands
from holdfast.kernel.durations import parse_duration

LONGEST_SILENCE = timedelta(days=366)


def build(commands: Callable[[], Commands]) -> typer.Typer:
    app = typer.Typer(help="Alerts: outages and burning error budgets.", no_args_is_help=True)
    _add_looking(app, commands)
    _add_silences(app, commands)
    return app


def _add_looking(app: typer.Typer, commands: Callable[[], Commands]) -> None:
    @app.command("list")
    def list_(
        config: Config,
        data_dir: DataDir,
        all_: Annotated[
            bool, typer.Option("--all", help="Also those that are over, the newest 100.")
        ] = False,
        as_json: AsJson = False,
    ) -> None:
        """Show what is open, what is silenced, and what could not be delivered yet."""
        with told(as_json=as_json):
            status = commands().alert_list(place(config, data_dir), ended=all_)
        if as_json:
            print_json(_plain_status(status))
        else:
            _print_status(status)

    @app.command()
    def test(
        config: Config,
        data_dir: DataDir,
        channel: Annotated[str | None, typer.Argument(help="A channel's key; all when left out.")] = None,
        as_json: AsJson = False,
    ) -> None:
        """Really send a test message, clearly marked, and say what each channel answered."""
        with told(as_json=as_json):
            outcomes = commands().alert_test(place(config, data_dir), channel)
        if as_json:
            print_json({key: {"ok": each.ok, "detail": each.detail} for key, each in outcomes.items()})
        else:
            rows = [("ok" if each.ok else "FAILED", key, each.detail) for key, each in outcomes.items()]
            print_table({"": "left", "channel": "left", "came to": "left"}, rows)
        if not all(each.ok for each in outcomes.values()):
            raise typer.Exit(1)


def _add_silences(app: typer.Typer, commands: Callable[[], Commands]) -> None:
    @app.command()
    def silence(
        pattern: Annotated[
            str, typer.Argument(help="What to be left alone with: eu/api, 'eu/*', acme-gold, 'burn:*'.")
        ],
        lasting: Annotated[str, typer.Option("--for", help="For how long, such as 2h.")],
        reason: Annotated[str, typer.Option("--reason", help="Why; the others will ask.")],
        config: Config,
        data_dir: DataDir,
        as_json: AsJson = False,
    ) -> None:
        """Tell nobody of alerts that match, for a while. Their end is told to those who know of them."""
        length = _length(lasting)
        with told(as_json=as_json):
            made = commands().alert_silence(place(config, data_dir), pattern, length, reason)
        if as_json:
            print_json(_plain_silence(made))
        else:
            typer.echo(f"silence {made.id} until {made.ends_at:%Y-%m-%d %H:%M:%S}Z")

    @app.command()
    def silences(config: Config, data_dir: DataDir, as_json: AsJson = False) -> None:
        """Show the silences in force."""
        with told(as_json=as_json):
            found = commands().alert_silences(place(config, data_dir))
        if as_json:
            print_json([_plain_silence(each) for each in found])
        else:
            _print_silences(found)

    @app.command()
    def expire(
        silence_id: Annotated[int, typer.Argument()],
        config: Config,
        data_dir: DataDir,
        as_json: AsJson = False,
    ) -> None:
        """End a silence now."""
        with told(as_json=as_json):
            done = commands().alert_expire(place(config, data_dir), silence_id)
        if not done:
            fail(f"there is no silence {silence_id} in force", "holdfast alert silences", as_json=as_json)
        print_json({"expired": silence_id}) if as_json else typer.echo(f"expired {silence_id}")


def _length(text: str) -> timedelta:
    try:
        length = parse_duration(text)
    except (ValueError, OverflowError) as error:
        raise typer.BadParameter(str(error)) from error
    if not timedelta() < length <= LONGEST_SILENCE:
        raise typer.BadParameter("a silence is longer than nothing and at most 366d")
    return length


def _print_status(status: AlertStatus) -> None:
    if status.alerts:
        rows = [_row(alert) for alert in status.alerts]
        headings = ("severity", "alert", "since", "until", "told", "what")
        print_table(dict.fromkeys(headings, "left"), rows)
    else:
        typer.echo("no alert is open")
    if status.silences:
        typer.echo("")
        _print_silences(status.silences)
    for waiting in status.waiting:
        typer.echo(_undelivered(waiting))


def _row(alert: Alert) -> tuple[str, ...]:
    return (
        alert.severity.label,
        alert.key,
        _moment(alert.opened_at),
        _moment(alert.resolved_at),
        f"no: {alert.muted_by}" if alert.muted_by else "yes",
        alert.summary,
    )


def _undelivered(waiting: Waiting) -> str:
    many = "message waits" if waiting.messages == 1 else "messages wait"
    error = f": {waiting.last_error}" if waiting.last_error else ""
    return f"channel {waiting.channel}: {waiting.messages} {many} since {_moment(waiting.oldest)}{error}"


def _print_silences(silences: Sequence[Silence]) -> None:
    rows = [(each.id, each.pattern, _moment(each.ends_at), each.created_by, each.reason) for each in silences]
    print_table(dict.fromkeys(("silence", "pattern", "until", "by", "reason"), "left"), rows)


def _moment(at: datetime | None) -> str:
    return "" if at is None else f"{at:%Y-%m-%d %H:%M:%S}Z"


def _plain_status(status: AlertStatus) -> dict[str, Any]:
    return {
        "alerts": [_plain_alert(alert) for alert in status.alerts],
        "silences": [_plain_silence(each) for each in status.silences],
        "undelivered": [
            {
                "channel": each.channel,
                "messages": each.messages,
                "oldest": each.oldest,
                "last_error": each.last_error,
            }
            for each in status.waiting
        ],
    }


def _plain_alert(alert: Alert) -> dict[str, Any]:
    return {
        "key": alert.key,
        "kind": alert.kind.value,
        "subject": alert.subject,
        "severity": alert.severity.label,
        "opened_at": alert.opened_at,
        "resolved_at": alert.resolved_at,
        "muted_by": alert.muted_by or None,
        "summary": alert.summary,
        "agreements": list(alert.agreements),
        "components": list(alert.components),
        "facts": dict(alert.facts),
    }


def _plain_silence(silence: Silence) -> dict[str, Any]:
    return {
        "id": silence.id,
        "pattern": silence.pattern,
        "reason": silence.reason,
        "by": silence.created_by,
        "from": silence.created_at,
        "to": silence.ends_at,
    }
