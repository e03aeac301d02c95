"""The playbooks there are: those that Holdfast has, and those of the estate's folder, which go before them.

One of the estate's that is wrong is not replaced by Holdfast's own of that name: that would be another one
than was meant. It cannot be started, and `holdfast playbook check` says why.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from importlib import resources
from pathlib import Path

from holdfast.bootstrap.recovery.playbook_files import MOST_BYTES, parsed, problem_at, whole
from holdfast.estate.errors import Problem
from holdfast.estate.model import Estate
from holdfast.identity.model import Role
from holdfast.recovery.checking import Signature, findings_in
from holdfast.recovery.errors import PlaybookWrong
from holdfast.recovery.shelf import Shelf, Shelved

MOST_FILES = 200
SUFFIX = ".yaml"
ROLES = tuple(role.label for role in Role)
BUILT_IN = "built in"
_NAME = re.compile(r"[a-z][a-z0-9-]{0,63}")


Signatures = Mapping[str, Signature]
"""The actions there are, by name."""


def read_shelf(folder: Path | None, actions: Signatures | None = None) -> Shelf:
    """Holdfast's own, and those of the estate's `folder`. Of `actions` nothing is said when they are None.

    Raises PlaybookWrong when the folder cannot be read.
    """
    own = {name: _own(name, actions) for name in own_names()}
    return own if folder is None else own | {each.name: each for each in _of_folder(folder, own, actions)}


def folder_of(estate: Estate, config: Path) -> Path | None:
    """Where the estate's own are, beside its file; None when it names no folder."""
    folder = None if estate.recovery is None else estate.recovery.playbooks
    return None if folder is None else config.absolute().parent / folder


def own_names() -> Sequence[str]:
    """Of Holdfast's own."""
    files = resources.files("holdfast.recovery").joinpath("playbooks").iterdir()
    return sorted(each.name.removesuffix(SUFFIX) for each in files if each.name.endswith(SUFFIX))


def read_playbook(
    name: str, content: bytes, where: str, actions: Signatures | None = None, *, replaces: bool = False
) -> Shelved:
    """The playbook that `content` holds, or everything that is wrong with it."""
    file = f"{name}{SUFFIX}" if where == BUILT_IN else where
    playbook, root, problems = parsed(name, content, file)
    warnings = list[Problem]()
    if playbook is not None and root is not None:
        for finding in findings_in(playbook, actions, ROLES):
            into = warnings if finding.warning else problems
            into.append(problem_at(file, root, finding.path, finding.message, finding.hint))
    problems.sort(key=lambda each: (each.line, each.column))
    return Shelved(name, where, None if problems else playbook, problems, warnings, replaces)


def read_file(path: Path, actions: Signatures | None = None, *, replaces: bool = False) -> Shelved:
    """The playbook in a file, under the file's name."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        return Shelved(path.stem, str(path), None, [whole(str(path), f"cannot be read: {error.strerror}")])
    return read_playbook(path.stem, content, str(path), actions, replaces=replaces)


@lru_cache(maxsize=64)
def _content(name: str) -> bytes:
    return resources.files("holdfast.recovery").joinpath("playbooks", f"{name}{SUFFIX}").read_bytes()


def _own(name: str, actions: Signatures | None) -> Shelved:
    return read_playbook(name, _content(name), BUILT_IN, actions)


def _of_folder(folder: Path, own: Shelf, actions: Signatures | None) -> Iterator[Shelved]:
    try:
        paths = sorted(
            each for each in folder.iterdir() if each.suffix in {SUFFIX, ".yml"} and each.is_file()
        )
    except OSError as error:
        raise PlaybookWrong(
            f"{folder} cannot be read: {error.strerror}", hint="`recovery.playbooks` names the folder"
        ) from error
    if len(paths) > MOST_FILES:
        raise PlaybookWrong(f"{folder} has {len(paths)} playbooks; at most {MOST_FILES} are read")
    for path in paths:
        if path.suffix == SUFFIX and _NAME.fullmatch(path.stem):
            yield read_file(path, actions, replaces=path.stem in own)
        else:
            message = (
                "is not read: a playbook's name has small letters, digits and -, and its file ends in .yaml"
            )
            # Under its whole name, which no playbook has: it must not hide one that is right.
            yield Shelved(path.name, str(path), None, [whole(str(path), message, "rename it")])
