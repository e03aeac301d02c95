"""`holdfast incident`: say what is wrong, how far it is, and that it is over."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from holdfast.interfaces.cli.declaring import IncidentOutcome, IncidentRequest
from holdfast.interfaces.cli.moments import parse_moment
from holdfast.interfaces.cli.options import AsJson, Config, DataDir, place
from holdfast.interfaces.cli.output import print_json, print_table, told
from holdfast.interfaces.cli.ports import Commands

if TYPE_CHECKING:
    from holdfast.communication.model import Incident, Update

LONGEST_TEXT = 100_000
"""Characters that are read of a file or of stdin; what is too long for an update is told by the desk."""

Id = Annotated[str, typer.Argument(metavar="INCIDENT", help="As `holdfast incident list` shows it.")]
Body = Annotated[str | None, typer.Option("--body", help="The text, in Markdown.")]
BodyFile = Annotated[
    Path | None, typer.Option("--body-file", help="Where the text is; - for stdin.", allow_dash=True)
]
Component = Annotated[
    list[str] | None,
    typer.Option("--component", help="cluster/component, * for all; eu/api=degraded says its state."),
]
Began = Annotated[
    str | None, typer.Option("--began", help="When it really began, if earlier: 2026-11-22T03:00+01:00")
]
At = Annotated[str | None, typer.Option("--at", help="The time to show, if earlier than now.")]
Template = Annotated[str | None, typer.Option("--template", help="One of `communication.templates`.")]
Values = Annotated[
    list[str] | None, typer.Option("--set", help="A template's variable: name=value. May be repeated.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be told, and to whom.")]
Phase = Annotated[str | None, typer.Option("--phase", help="investigating, identified, monitoring")]
Impact = Annotated[str | None, typer.Option("--impact", help="none, minor, major or critical")]


def build(commands: Callable[[], Commands]) -> typer.Typer:
    app = typer.Typer(help="Incidents, as readers are told of them.", no_args_is_help=True)
    _add_declaring(app, commands)
    _add_updating(app, commands)
    _add_correcting(app, commands)
    _add_reading(app, commands)
    return app


def _add_declaring(app: typer.Typer, commands: Callable[[], Commands]) -> None:
    @app.command()
    def declare(
        config: Config,
        data_dir: DataDir,
        title: Annotated[str | None, typer.Option("--title", help="What readers see first.")] = None,
        component: Component = None,
        impact: Impact = None,
        phase: Phase = None,
        body: Body = None,
        body_file: BodyFile = None,
        template: Template = None,
        values: Values = None,
        began: Began = None,
        at: At = None,
        draft: Annotated[
            bool, typer.Option("--draft", help="For our eyes only, until it is opened.")
        ] = False,
        dry_run: DryRun = False,
        as_json: AsJson = False,
    ) -> None:
        """Declare an incident: it is public at once, and subscribers are told, unless it is a draft."""
        request = IncidentRequest(
            "declare",
            title=title,
            body=_text(body, body_file, needed=template is None),
            impact=impact,
            phase=phase,
            components=_states(component),
            began_at=None if began is None else parse_moment(began),
            at=None if at is None else parse_moment(at),
            draft=draft,
            template=template,
            variables=_pairs(values),
            dry_run=dry_run,
        )
        _do(commands, config, data_dir, request, as_json=as_json)

    @app.command("open")
    def open_(
        incident: Id, config: Config, data_dir: DataDir, dry_run: DryRun = False, as_json: AsJson = False
    ) -> None:
        """Make a draft public, and tell subscribers."""
        request = IncidentRequest("open", incident, dry_run=dry_run)
        _do(commands, config, data_dir, request, as_json=as_json)


def _add_updating(app: typer.Typer, commands: Callable[[], Commands]) -> None:
    @app.command()
    def update(
        incident: Id,
        config: Config,
        data_dir: DataDir,
        phase: Phase = None,
        component: Component = None,
        body: Body = None,
        body_file: BodyFile = None,
        template: Template = None,
        values: Values = None,
        at: At = None,
        dry_run: DryRun = False,
        as_json: AsJson = False,
    ) -> None:
        """Say what is new. What is left out stays as it was."""
        request = IncidentRequest(
            "update",
            incident,
            body=_text(body, body_file, needed=template is None),
            phase=phase,
            components=_states(component),
            at=None if at is None else parse_moment(at),
            template=template,
            variables=_pairs(values),
            dry_run=dry_run,
        )
        _do(commands, config, data_dir, request, as_json=as_json)

    def closing(name: str, phase: str, help_: str) -> None:
        @app.command(name, help=help_)
        def close(
            incident: Id,
            config: Config,
            data_dir: DataDir,
            body: Body = None,
            body_file: BodyFile = None,
            template: Template = None,
            values: Values = None,
            at: At = None,
            dry_run: DryRun = False,
            as_json: AsJson = False,
        ) -> None:
            request = IncidentRequest(
                "update",
                incident,
                body=_text(body, body_file, needed=template is None),
                phase=phase,
                at=None if at is None else parse_moment(at),
                template=template,
                variables=_pairs(values),
                dry_run=dry_run,
            )
            _do(commands, config, data_dir, request, as_json=as_json)

    closing("resolve", "resolved", "Say that it is over: all its components are operational.")
    closing("postmortem", "postmortem", "Say, after its resolution, what happened and what is learnt of it.")


def _add_correcting(app: typer.Typer, commands: Callable[[], Commands]) -> None:
    @app.command()
    def edit(
        incident: Id,
        config: Config,
        data_dir: DataDir,
        update: Annotated[
            str | None, typer.Option("--update", help="The update to correct, as `show` names it.")
        ] = None,
        body: Body = None,
        body_file: BodyFile = None,
        at: At = None,
        title: Annotated[str | None, typer.Option("--title")] = None,
        impact: Impact = None,
        began: Began = None,
        as_json: AsJson = False,
    ) -> None:
        """Correct an update (--update), or title, impact and beginning. The page shows what it was before."""
        if update is None and (body is not None or body_file is not None or at is not None):
            raise typer.BadParameter("say with --update which one is to be corrected")
        if update is not None and (title is not None or impact is not None or began is not None):
            raise typer.BadParameter("correct the update first, and the incident's own fields then")
        text = _text(body, body_file, needed=False)
        if all(each is None for each in (text, at, title, impact, began)):
            raise typer.BadParameter("say what is to be corrected: --title, --impact, --began, or --update")
        request = IncidentRequest(
            "change" if update is None else "edit",
            incident,
            title=title,
            body=text,
            impact=impact,
            began_at=None if began is None else parse_moment(began),
            at=None if at is None else parse_moment(at),
            update_id=update or "",
        )
        _do(commands, config, data_dir, request, as_json=as_json)

    @app.command()
    def merge(
        incident: Id,
        into: Annotated[str, typer.Argument(metavar="INTO", help="The incident that it lives on in.")],
        config: Config,
        data_dir: DataDir,
        dry_run: DryRun = False,
        as_json: AsJson = False,
    ) -> None:
        """Let an incident live on in another one. Subscribers are told once, by an update of that one."""
        request = IncidentRequest("merge", incident, into=into, dry_run=dry_run)
        _do(commands, config, data_dir, request, as_json=as_json)


def _add_reading(app: typer.Typer, commands: Callable[[], Commands]) -> None:
    @app.command("list")
    def list_(
        config: Config,
        data_dir: DataDir,
        all_: Annotated[bool, typer.Option("--all", help="Also what ended in the last 90 days.")] = False,
        as_json: AsJson = False,
    ) -> None:
        """Show the open incidents, drafts too."""
        with told(as_json=as_json):
            found = commands().incident_list(place(config, data_dir), over=all_)
        if as_json:
            print_json([_plain(each) for each in found])
        elif found:
            headings = ("incident", "began", "phase", "impact", "", "title", "components")
            print_table(dict.fromkeys(headings, "left"), [_row(each) for each in found])
        else:
            typer.echo("no incident is open")

    @app.command()
    def show(incident: Id, config: Config, data_dir: DataDir, as_json: AsJson = False) -> None:
        """Show everything that was said, with what it said before it was edited."""
        with told(as_json=as_json):
            found = commands().incident_show(place(config, data_dir), incident)
        print_json(_plain(found)) if as_json else typer.echo("\n".join(_shown(found)))


def _do(
    commands: Callable[[], Commands], config: Path, data_dir: Path, request: IncidentRequest, *, as_json: bool
) -> None:
    with told(as_json=as_json):
        outcome = commands().incident(place(config, data_dir), request)
    if as_json:
        print_json(_plain(outcome))
    elif request.dry_run:
        typer.echo("\n".join([*_shown(outcome), "", _tells(outcome)]))
    else:
        incident = outcome.incident
        draft = ", a draft" if incident.draft else ""
        typer.echo(f"{incident.id} {incident.phase.value}{draft}: {incident.title}")
        if outcome.audience is not None:
            typer.echo(f"  {_tells(outcome)}")


def _text(body: str | None, file: Path | None, *, needed: bool) -> str | None:
    """The text as it is given. Where one is needed and none is, a pipe into stdin is one."""
    if body is not None and file is not None:
        raise typer.BadParameter("give the text by --body or by --body-file, not by both")
    if body is not None:
        return body
    if file is None and not needed:
        return None
    missing = typer.BadParameter("say what is known with --body or --body-file, or pipe the text in")
    if file is None and sys.stdin.isatty():
        raise missing
    try:
        if file is None or str(file) == "-":
            text = sys.stdin.read(LONGEST_TEXT)
            if not text.strip():
                raise missing
            return text
        with file.open(encoding="utf-8") as opened:
            return opened.read(LONGEST_TEXT)
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"the text cannot be read: {error}") from error


def _states(components: Sequence[str] | None) -> dict[str, str]:
    """`eu/api=degraded` apart; an empty state where none is given."""
    parts = (each.partition("=") for each in components or ())
    return {pattern: state for pattern, _, state in parts}


def _pairs(values: Sequence[str] | None) -> dict[str, str]:
    pairs = [each.partition("=") for each in values or ()]
    if any(not equals for _, equals, _ in pairs):
        raise typer.BadParameter("a variable is set as name=value")
    return {name.strip(): value for name, _, value in pairs}


# --- for people


def _row(outcome: IncidentOutcome) -> tuple[str, ...]:
    incident = outcome.incident
    standing = f"in {incident.merged_into}" if incident.merged_into else "draft" if incident.draft else ""
    return (
        incident.id,
        f"{incident.began_at:%Y-%m-%d %H:%M}Z",
        incident.phase.value,
        incident.impact.value,
        standing,
        incident.title,
        ", ".join(outcome.names.get(each, f"#{each}") for each in incident.affected),
    )


def _shown(outcome: IncidentOutcome) -> list[str]:
    incident = outcome.incident
    states = [f"{outcome.names.get(each, each)} {state.value}" for each, state in incident.affected.items()]
    lines = [
        f"{incident.title}",
        f"{incident.id}  {incident.phase.value}  impact {incident.impact.value}"
        + ("  draft" if incident.draft else "")
        + (f"  merged into {incident.merged_into}" if incident.merged_into else ""),
        f"began {incident.began_at:%Y-%m-%d %H:%M:%S}Z"
        + (f", resolved {incident.resolved_at:%Y-%m-%d %H:%M:%S}Z" if incident.resolved_at else ""),
        *([f"affected: {', '.join(states)}"] if states else []),
    ]
    for update in incident.updates:
        lines += ["", f"{update.at:%Y-%m-%d %H:%M:%S}Z  {update.step}  by {update.author}  ({update.id})"]
        lines += [f"  {line}" for line in update.body.splitlines()]
        lines += [
            f"  until {each.at:%Y-%m-%d %H:%M:%S}Z, when {each.actor} edited it: {each.body!r}"
            for each in update.revisions
        ]
    if incident.changes:
        lines += [""]
    lines += [
        f"{each.at:%Y-%m-%d %H:%M:%S}Z  {each.actor} changed {each.field}: {each.before!r} -> {each.after!r}"
        for each in incident.changes
    ]
    return lines


def _tells(outcome: IncidentOutcome) -> str:
    audience = outcome.audience
    tells = "would tell" if outcome.dry_run else "told"
    if outcome.incident.draft:
        return f"{tells} nobody: it is a draft"
    if audience is None or not audience.total:
        return f"{tells} nobody: nobody subscribes to this"
    channels = ", ".join(f"{count} by {channel.value}" for channel, count in audience.by_channel.items())
    many = "subscriber" if audience.total == 1 else "subscribers"
    return f"{tells} {audience.total} {many}: {channels}"


# --- for programs


def _plain(outcome: IncidentOutcome) -> dict[str, Any]:
    incident: Incident = outcome.incident
    names = outcome.names
    plain: dict[str, Any] = {
        "id": incident.id,
        "title": incident.title,
        "impact": incident.impact.value,
        "phase": incident.phase.value,
        "draft": incident.draft,
        "began_at": incident.began_at,
        "declared_at": incident.declared_at,
        "declared_by": incident.declared_by,
        "published_at": incident.published_at,
        "resolved_at": incident.resolved_at,
        "merged_into": incident.merged_into,
        "rule": incident.rule,
        "affected": {names.get(each, str(each)): state.value for each, state in incident.affected.items()},
        "updates": [_plain_update(each, outcome) for each in incident.updates],
        "changes": [
            {name: getattr(each, name) for name in ("at", "actor", "field", "before", "after")}
            for each in incident.changes
        ],
        "version": incident.version,
    }
    if outcome.audience is not None:
        counts = {channel.value: count for channel, count in outcome.audience.by_channel.items()}
        plain["would_tell" if outcome.dry_run else "told"] = {
            "total": outcome.audience.total,
            "by_channel": counts,
        }
    return plain


def _plain_update(update: "Update", outcome: IncidentOutcome) -> dict[str, Any]:
    return {
        "id": update.id,
        "at": update.at,
        "recorded_at": update.recorded_at,
        "phase": update.step,
        "body": update.body,
        "author": update.author,
        "affected": {
            outcome.names.get(each, str(each)): state.value for each, state in update.affected.items()
        },
        "revisions": [
            {"body": each.body, "shown_at": each.shown_at, "replaced_at": each.at, "by": each.actor}
            for each in update.revisions
        ],
    }
