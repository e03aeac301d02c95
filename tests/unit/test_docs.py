"""What the documentation tells people to type can be typed, and what it points to is there."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from holdfast.bootstrap.main import _commands
from holdfast.interfaces.cli.app import build

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])

# In a block: at the start of a line, up to a comment or the column of explanations. In a sentence: between
# backquotes.
_IN_A_BLOCK = re.compile(
    r"^(?: {4}|\$ )?(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?holdfast (\S.*?)(?:\s{2,}.*|\s+#.*)?$", re.MULTILINE
)
_IN_A_SENTENCE = re.compile(r"`(?:\.venv/bin/)?holdfast ([^`\n]+)`")


def _without_prose(text: str) -> str:
    """The lines of code blocks only, indented or fenced."""
    lines, fenced = [], False
    for line in text.splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            lines.append(line)
    return "\n".join(lines)


def _commands_shown() -> list[tuple[str, str]]:
    shown = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        found = [*_IN_A_BLOCK.findall(_without_prose(text)), *_IN_A_SENTENCE.findall(text)]
        shown += [(str(page.relative_to(ROOT)), command.strip()) for command in dict.fromkeys(found)]
    return shown


def _parse(arguments: list[str]) -> None:
    """Parse a command line as the program does, without running it. Raises what it complains of."""
    command: Any = typer.main.get_command(build(_commands))
    path = ["holdfast"]
    while hasattr(command, "commands"):
        name, *rest = arguments
        if name in {"--help", "--version", "-h"}:
            return
        assert name in command.commands, f"{' '.join(path)} has no {name}"
        command, arguments = command.commands[name], rest
        path.append(name)
        if not arguments and hasattr(command, "commands"):
            return  # a sentence about the whole group
    if "--help" not in arguments:
        command.make_context(path[-1], arguments)


def test_commands_are_found_in_blocks_and_in_sentences() -> None:
    shown = _commands_shown()

    assert ("README.md", "lab break eu-api") in shown
    assert ("docs/lab.md", "lab break eu --how hang") in shown
    assert any(page == "README.md" and command.startswith("maintenance plan") for page, command in shown)
    assert len(shown) > 15


@pytest.mark.parametrize(("page", "command"), _commands_shown())
def test_a_command_that_is_shown_can_be_typed(page: str, command: str) -> None:
    arguments = shlex.split(command)
    if "..." in arguments or len(arguments) == 1:
        arguments = [each for each in arguments if each != "..."]
        known = typer.main.get_command(build(_commands))
        assert arguments[0].startswith("--") or arguments[0] in known.commands, command  # type: ignore[attr-defined]
        return
    _parse(arguments)


@pytest.mark.parametrize("arguments", [["lab", "brake", "eu"], ["up", "--colour"], ["sla", "report"]])
def test_one_that_cannot_be_typed_is_noticed(arguments: list[str]) -> None:
    with pytest.raises(Exception, match=r"no brake|No such option|Missing parameter"):
        _parse(arguments)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_within_the_repository_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)", text)
    missing = [each for each in targets if "://" not in each and not (page.parent / each).exists()]
    assert not missing


def test_the_makefile_has_every_target_that_is_named() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        named = re.findall(r"`make ([a-z]+)`", text) + re.findall(r"^    make ([a-z]+)", text, re.MULTILINE)
        assert set(named) <= targets, page
