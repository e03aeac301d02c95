"""The commands and their arguments."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from holdfast.interfaces.cli import (
    accounts,
    agents,
    alerts,
    api,
    backup,
    incident,
    interchange,
    lab,
    maintenance,
    reporting,
    sites,
    sla,
    subscribers,
    wal,
)
from holdfast.interfaces.cli.ledger import group as ledger
from holdfast.interfaces.cli.options import AsJson, Config, DataDir, place
from holdfast.interfaces.cli.output import fail, print_json, print_table, progress_shown, told
from holdfast.interfaces.cli.ports import AgentRequest, Commands, RoleName, Running
from holdfast.interfaces.cli.recovery.group import add_recovery
from holdfast.interfaces.cli.restoring import add_restore
from holdfast.interfaces.cli.searching import add_find_good
from holdfast.interfaces.cli.status import add_status

__all__ = ["build"]


def build(commands: Callable[[], Commands]) -> typer.Typer:
    """The whole command line. `commands` is called when a command runs, not for `--help`."""
    app = typer.Typer(
        name="holdfast",
        help="Keeps the continuity promises of a cloud service, and proves that it keeps them.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    _add_estate(app, commands)
    _add_running(app, commands)
    add_status(app, commands)
    add_restore(app, commands)
    add_find_good(app, commands)
    app.add_typer(lab.build(commands), name="lab")
    app.add_typer(sla.build(commands), name="sla")
    app.add_typer(reporting.build(commands), name="report")
    app.add_typer(sites.build(commands), name="site")
    app.add_typer(incident.build(commands), name="incident")
    app.add_typer(maintenance.build(commands), name="maintenance")
    app.add_typer(subscribers.build(commands), name="subscriber")
    app.add_typer(alerts.build(commands), name="alert")
    app.add_typer(agents.build(commands), name="agent")
    app.add_typer(accounts.build(commands), name="account")
    app.add_typer(accounts.build_tokens(commands), name="token")
    app.add_typer(api.build(), name="api")
    app.add_typer(backup.build(commands), name="backup")
    app.add_typer(wal.build(commands), name="wal")
    app.add_typer(ledger.build(commands), name="ledger")
    add_recovery(app, commands)
    app.add_typer(interchange.build_import(commands), name="import")
    app.add_typer(interchange.build_export(commands), name="export")
    app.callback()(_version_option)
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        from holdfast import __version__  # noqa: PLC0415

        typer.echo(f"holdfast {__version__}")
        raise typer.Exit


def _version_option(
    version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True)] = False,
) -> None:
    """Takes the option that stands before any command."""
    del version


def _add_estate(app: typer.Typer, commands: Callable[[], Commands]) -> None:
    estate = typer.Typer(help="The estate file.", no_args_is_help=True)
    app.add_typer(estate, name="estate")

    @app.command()
    def init(
        path: Annotated[Path, typer.Argument(help="Where to write it.")] = Path("holdfast.yaml"),
        force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    ) -> None:
        """Write a commented estate file to begin with."""
        with told(as_json=False):
            commands().write_template(path, overwrite=force)
        typer.echo(f"wrote {path}; edit it, then run: holdfast check --config {path}")

    @app.command()
    def check(
        config: Config,
        data_dir: DataDir,
        no_connect: Annotated[
            bool, typer.Option("--no-connect", help="Only read the file; try no connection.")
        ] = False,
        as_json: AsJson = False,
    ) -> None:
        """Validate the estate file, then try every connection in it. Only stores are given a small object."""
        with told(as_json=as_json), progress_shown(quiet=as_json) as report:
            checked = commands().check(place(config, data_dir), connect=not no_connect, report=report)
        if as_json:
            print_json(
                {"valid": True, "ok": checked.ok, "findings": [vars_of(each) for each in checked.findings]}
            )
        else:
            rows = [
                (
                    "FAILED" if not each.ok else "WARNING" if each.warning else "ok",
                    each.subject,
                    _millis(each.took_ms),
                    each.text,
                )
                for each in checked.findings
            ]
            if rows:
                print_table({"": "left", "tried": "left", "took": "right", "came to": "left"}, rows)
            clusters = len(checked.estate.clusters)
            components = sum(len(each.components) for each in checked.estate.clusters.values())
            typer.echo(f"{config} is valid: {clusters} clusters, {components} components")
        if not checked.ok:
            raise typer.Exit(1)

    @estate.command()
    def schema() -> None:
        """Print the JSON Schema of the estate file, for editors."""
        print_json(commands().schema())


def _add_running(app: typer.Typer, commands: Callable[[], Commands]) -> None:
    sample = Annotated[
        bool,
        typer.Option("--sample-history", help="First import a year of sample history, labelled as such."),
    ]

    @app.command()
    def up(
        config: Config, data_dir: DataDir, sample_history: sample = False, as_json: AsJson = False
    ) -> None:
        """Run everything: the database, the controller and the status site. Ctrl-C ends it."""
        with told(as_json=as_json), progress_shown(quiet=as_json) as report:
            commands().up(
                place(config, data_dir),
                sample_history=sample_history,
                report=report,
                running=lambda running: _say_running(running, as_json=as_json),
            )

    @app.command()
    def demo(
        data_dir: DataDir,
        listen: Annotated[
            str | None,
            typer.Option(help="Where the status site answers.", show_default="127.0.0.1:8080"),
        ] = None,
        sample_history: sample = False,
        as_json: AsJson = False,
    ) -> None:
        """Run the sample print service and Holdfast on it. Ctrl-C ends both."""
        with told(as_json=as_json), progress_shown(quiet=as_json) as report:
            commands().demo(
                place(Path("holdfast.yaml"), data_dir),
                listen=listen,
                sample_history=sample_history,
                report=report,
                running=lambda running: _say_running(running, as_json=as_json, lab=True),
            )

    @app.command()
    def serve(
        role: Annotated[
            str, typer.Argument(help="controller, site, console, sender, backup, ledger, recovery or agent")
        ],
        config: Config,
        data_dir: DataDir,
        controller: Annotated[
            str | None, typer.Option("--controller", metavar="URL", help="For an agent: where it delivers.")
        ] = None,
        token_file: Annotated[
            Path | None, typer.Option("--token-file", metavar="FILE", help="For an agent: its token.")
        ] = None,
        ca_file: Annotated[
            Path | None,
            typer.Option("--ca-file", metavar="FILE", help="For an agent: whom to trust for https (PEM)."),
        ] = None,
        supervised: Annotated[bool, typer.Option("--supervised", hidden=True)] = False,
    ) -> None:
        """Run one role, for scale-out."""
        known: dict[str, RoleName] = {
            "controller": "controller",
            "site": "site",
            "console": "console",
            "sender": "sender",
            "backup": "backup",
            "ledger": "ledger",
            "recovery": "recovery",
        }
        if role == "agent":
            _serve_agent(commands, controller, token_file, ca_file, data_dir)
            return
        if role not in known:
            fail(
                f"there is no role {role!r}",
                "there are: controller, site, console, sender, backup, ledger, recovery, agent",
            )
        with told(as_json=False):
            commands().serve(known[role], place(config, data_dir), supervised=supervised)


def _serve_agent(
    commands: Callable[[], Commands],
    controller: str | None,
    token_file: Path | None,
    ca_file: Path | None,
    data_dir: Path,
) -> None:
    if controller is None or token_file is None:
        fail("an agent needs --controller and --token-file", "its token comes from: holdfast agent add")
    with told(as_json=False):
        commands().serve_agent(AgentRequest(controller, token_file, data_dir, ca_file))


def _say_running(running: Running, *, as_json: bool, lab: bool = False) -> None:
    if as_json:
        reports = dict(running.report_urls)
        print_json({"site": running.site_url, "reports": reports, "console": running.console_url})
        return
    typer.echo(f"status site   {running.site_url}")
    for name, url in running.report_urls.items():
        typer.echo(f"report        {url}  ({name})")
    if running.console_url is None:
        typer.echo("console       does not answer; is another program at console.listen?")
    else:
        typer.echo(f"console       {running.console_url}")
    if lab:
        typer.echo("break it      holdfast lab break eu-api     heal it   holdfast lab heal eu-api")
    typer.echo("running; Ctrl-C ends it")


def vars_of(value: object) -> dict[str, object]:
    """The fields of a slotted dataclass."""
    return {name: getattr(value, name) for name in type(value).__dataclass_fields__}  # type: ignore[attr-defined]


def _millis(took_ms: float | None) -> str:
    return "" if took_ms is None else f"{took_ms:.0f} ms"
