"""The commands that need nothing running: what they write, what they refuse, and how they say it."""

import json
from pathlib import Path

import pytest
import typer

from holdfast.bootstrap.lab import on_other_ports
from holdfast.bootstrap.main import _commands
from holdfast.interfaces.cli.app import build
from installation import Installation
from targets import Target

BROKEN = """\
version: 1
regions: {here: {name: Here}}
clusters:
  main:
    name: Main
    region: there
    components:
      web:
        name: Web
        checks:
          page: {url: "ftp://nowhere", evry: 5s}
          other: {url: "http://127.0.0.1/", conditions: ["status === 200"]}
"""
PLAN = "maintenance plan main/web --from 2030-01-01T00:00Z --to 2030-01-01T01:00Z"


def _every_command() -> list[list[str]]:
    found: list[list[str]] = []

    def walk(command: object, path: list[str]) -> None:
        found.append(path)
        for name, inner in getattr(command, "commands", {}).items():
            walk(inner, [*path, name])

    walk(typer.main.get_command(build(_commands)), [])
    return found


@pytest.mark.parametrize("command", _every_command(), ids=" ".join)
def test_every_command_explains_itself(command: list[str]) -> None:
    from typer.testing import CliRunner  # noqa: PLC0415

    answer = CliRunner().invoke(build(_commands), [*command, "--help"])

    assert answer.exit_code == 0
    lines = [line.strip() for line in answer.output.splitlines()]
    told = next(line for line in lines if line and not line.startswith(("Usage:", "holdfast", "[", "COMP")))
    assert len(told) > 10, answer.output


def test_help_and_version_come_from_the_program_itself(bare: Installation) -> None:
    assert "up" in bare.run("--help").out
    assert bare.run("--version").out.startswith("holdfast ")


def test_init_writes_a_file_that_check_accepts(bare: Installation) -> None:
    written = bare.run("init").out

    assert "holdfast check --config holdfast.yaml" in written
    assert "is valid" in bare.run("check", "--no-connect").out
    assert bare.run("check", "--no-connect", "--json").json["findings"] == []


def test_init_replaces_nothing_unless_told_to(bare: Installation) -> None:
    bare.config.write_text("mine")

    refused = bare.run("init", code=1)

    assert "there already" in refused.err
    assert "--force" in refused.err
    assert bare.config.read_text() == "mine"
    bare.run("init", "--force")
    assert bare.config.read_text() != "mine"


def test_a_broken_file_is_told_of_completely_and_without_a_traceback(bare: Installation) -> None:
    bare.config.write_text(BROKEN)

    refused = bare.run("check", "--no-connect", code=2)

    assert "Traceback" not in refused.err
    for problem in ("there", "evry", "every", "page.url", "compare with =="):
        assert problem in refused.err, problem
    assert f"{bare.config.name}:6" in refused.err  # the region that is not there, by its line


def test_a_broken_file_in_json_names_line_path_and_hint_of_each_problem(bare: Installation) -> None:
    bare.config.write_text(BROKEN)

    refused = bare.run("check", "--no-connect", "--json", code=2)

    problems = refused.json["problems"]
    assert len(problems) >= 4
    assert all(problem["line"] and problem["path"] and problem["message"] for problem in problems)


@pytest.mark.parametrize("command", ["check", "up", "serve site", "sla report x", "maintenance list"])
def test_a_file_that_is_not_there_is_said_in_a_line(bare: Installation, command: str) -> None:
    refused = bare.run(*command.split(), code=2)

    assert "holdfast.yaml" in refused.err
    assert "Traceback" not in refused.err


def test_check_tries_what_it_finds_and_says_what_came_of_it(ready: Installation, target: Target) -> None:
    good = ready.run("check", "--json").json
    assert good["ok"]
    assert {finding["subject"] for finding in good["findings"]} >= {"main/web/page", "main/api/health"}

    target.well = False
    bad = ready.run("check", "--json", code=1).json
    assert not bad["ok"]
    failed = {finding["subject"]: finding["text"] for finding in bad["findings"] if not finding["ok"]}
    assert failed.keys() == {"main/web/page", "main/api/health"}
    assert "503" in failed["main/web/page"]


def test_check_misses_a_secret(ready: Installation) -> None:
    (ready.folder / "link").unlink()

    findings = {each["subject"]: each for each in ready.run("check", "--json", code=1).json["findings"]}

    assert not findings["agreements/without-notice/report_link"]["ok"]


def test_the_schema_is_json_schema(bare: Installation) -> None:
    schema = bare.run("estate", "schema").json

    assert schema["$schema"].startswith("https://json-schema.org/")
    assert "clusters" in schema["properties"]


def test_an_unknown_part_of_the_lab_is_met_with_the_one_that_was_meant(bare: Installation) -> None:
    refused = bare.run("lab", "break", "a-nod", code=1)

    assert "did you mean a-node?" in refused.err
    assert "Traceback" not in refused.err


def test_the_lab_knows_three_kinds_of_damage(bare: Installation) -> None:
    refused = bare.run("lab", "break", "a-node", "--how", "burn", code=1)

    assert "kill, stop, hang" in refused.err


def test_a_lab_that_was_never_started_has_every_part_missing(bare: Installation) -> None:
    parts = bare.run("lab", "status", "--json").json

    assert {part["state"] for part in parts} == {"missing"}
    assert "a-node" in {part["name"] for part in parts}


@pytest.mark.parametrize("text", ["many", "80", "70000"])
def test_the_lab_refuses_ports_that_there_are_not(bare: Installation, text: str) -> None:
    bare.environment["HOLDFAST_LAB_BASE_PORT"] = text

    assert "1024 to 65100" in bare.run("lab", "status", code=1).err


def test_the_demo_on_other_ports_is_the_same_estate() -> None:
    sample = Path(__file__).parents[3] / "examples/printcloud/holdfast.yaml"
    text = sample.read_text()

    moved = on_other_ports(text, 20_000, "127.0.0.1:20090")

    assert ":20011/health" in moved
    assert "port: 20032" in moved
    assert "1811" not in moved
    assert moved.replace("  listen: 127.0.0.1:20090\n", "").count("\n") == text.count("\n")
    assert on_other_ports(text, 18_100, None) == text


@pytest.mark.parametrize(
    "command",
    ["sla report with-notice", "maintenance list", "maintenance cancel 1", PLAN],
    ids=lambda command: " ".join(command.split()[:2]),
)
def test_a_command_on_history_says_that_nothing_runs(ready: Installation, command: str) -> None:
    refused = ready.run(*command.split(), code=1)

    assert "no Holdfast is running" in refused.err
    assert "holdfast up" in refused.err
    assert not ready.processes()  # nothing was started to find that out


def test_an_error_can_be_had_in_json(ready: Installation) -> None:
    refused = ready.run("sla", "report", "with-notice", "--json", code=1)

    assert json.loads(refused.out).keys() == {"error", "hint"}


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        ("maintenance plan main/web --from 2030-01-01T00:00 --to 2030-01-01T01:00Z", "offset"),
        ("maintenance plan main/web --from soon --to 2030-01-01T01:00Z", "is no time"),
        ("maintenance plan main/web --from 2030-01-01T01:00Z --to 2030-01-01T01:00Z", "ends after it begins"),
        ("maintenance plan main/web --from 2020-01-01T01:00Z --to 2020-01-02T01:00Z", "before it is over"),
        ("sla report with-notice --month 2026-13", "is no month"),
        ("serve database", "controller, site"),
    ],
)
def test_arguments_that_make_no_sense_are_refused_with_a_reason(
    ready: Installation, command: str, hint: str
) -> None:
    refused = ready.run(*command.split(), code=None)

    assert refused.code in {1, 2}
    assert hint in " ".join(refused.err.split())
    assert "Traceback" not in refused.err
