"""Upptime's repository: its configuration, its history files, and what git remembers of them."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from threading import Timer

from holdfast.estate.source import MAX_BYTES
from holdfast.interchange.errors import SourceError
from holdfast.interchange.upptime_history import LOG_FORMAT, LONGEST_LINE

CONFIG = ".upptimerc.yml"
MOST_FILES = 10_000
_LARGEST_FILE = 64 * 1024
_GIT_WITHIN_S = 600.0
_MOST_LINES = 50_000_000
# What a repository's own settings could make git run or fetch is switched off: it may come from anybody.
_SAFE = (
    *("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "log.showSignature=false"),
    *("-c", "core.pager=cat", "-c", "diff.external=", "-c", "core.sshCommand=false"),
    *("-c", "protocol.allow=never", "-c", "core.attributesFile=/dev/null"),
)


def read_config(folder: Path) -> bytes:
    """The bytes of .upptimerc.yml, at most one more than is allowed."""
    for name in (CONFIG, ".upptimerc.yaml"):
        try:
            with (folder / name).open("rb") as file:
                return file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise SourceError(f"{folder / name} cannot be read: {error.strerror}") from error
    raise SourceError(
        f"{folder} has no {CONFIG}", hint="give the folder of a clone of the Upptime repository"
    )


def read_addresses(folder: Path) -> Mapping[str, str]:
    """The address in each history file, by the file's name without its ending."""
    addresses: dict[str, str] = {}
    try:
        names = sorted(each.name for each in (folder / "history").iterdir() if each.suffix == ".yml")
    except OSError:
        return addresses
    for name in names[:MOST_FILES]:
        with suppress(OSError), (folder / "history" / name).open("rb") as file:
            text = file.read(_LARGEST_FILE).decode("utf-8", "replace")
            for line in text.splitlines():
                key, _, value = line.removeprefix("- ").partition(": ")
                if key == "url":
                    addresses[name.removesuffix(".yml")] = value.strip()
                    break
    return addresses


def read_log(folder: Path) -> Iterator[str]:
    """The lines of the history's log, oldest commit first, each cut after 4,096 characters.

    Raises SourceError when git is not there, the folder is no repository, or git takes longer than ten
    minutes.
    """
    command = (
        *("git", *_SAFE, "--no-pager", "--literal-pathspecs", "log", "--reverse", "--patch", "--unified=0"),
        *("--no-color", "--no-ext-diff", "--no-textconv", "--no-renames", "--no-show-signature"),
        *("--no-mailmap", "--no-notes", "--no-decorate", f"--format={LOG_FORMAT}", "--", "history"),
    )
    with TemporaryFile() as complaints:
        try:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=_environment(folder),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=complaints,
            )
        except FileNotFoundError as error:
            missing = "git" if folder.is_dir() else str(folder)
            hint = "the history is read with git: install it"
            raise SourceError(f"{missing} is not there", hint=hint) from error
        except OSError as error:
            raise SourceError(f"git cannot be started: {error.strerror}") from error
        yield from _lines(process)
        complaints.seek(0)
        if process.returncode != 0:
            first = complaints.read(2000).decode("utf-8", "replace").partition("\n")[0]
            why = "".join(c for c in first if c.isprintable()) or "it was stopped after ten minutes"
            raise SourceError(f"git cannot read the history: {why}", hint="import without --history")


def _lines(process: "subprocess.Popen[bytes]") -> Iterator[str]:
    """What the process prints, until it has ended. It never outlives this."""
    late = Timer(_GIT_WITHIN_S, process.kill)
    late.start()
    try:
        whole = True
        pieces = iter(lambda: process.stdout.readline(LONGEST_LINE) if process.stdout else b"", b"")
        for count, piece in enumerate(pieces):
            begins, whole = whole, piece.endswith(b"\n")
            if count >= _MOST_LINES:
                raise SourceError("the history is too long to be read")
            # The rest of a line that was cut must not be taken for a line of its own.
            if begins:
                yield piece.decode("utf-8", "replace").rstrip("\r\n")
        process.wait()
    finally:
        late.cancel()
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _environment(folder: Path) -> dict[str, str]:
    kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG", "TMPDIR") if key in os.environ}
    return {
        **kept,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_LAZY_FETCH": "1",
        # Of the folder itself, not of one that it happens to lie in.
        "GIT_CEILING_DIRECTORIES": str(folder.absolute().parent),
        "LC_ALL": "C.UTF-8",
    }
