"""As whom PostgreSQL runs. It refuses to run as root, and Holdfast may be started as root.

    started as            PostgreSQL runs                         its files belong to
    a plain user          directly                                that user
    root                  in a user namespace that maps root to   root, as seen from outside
                          an unprivileged id
    root, no namespaces   as an account that exists already       that account
                          (setpriv)

The namespace comes first: an account cannot read a virtual environment below root's home, a namespace can.
"""

import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from holdfast.adapters.postgres.errors import DatabaseUnsuitable
from holdfast.adapters.postgres.server.binaries import Binaries

ACCOUNTS = ("postgres", "nobody")
_UNPRIVILEGED_ID = 65534
_PROBE_TIMEOUT_S = 30


class Kind(Enum):
    DIRECT = "directly"
    NAMESPACE = "in a user namespace"
    ACCOUNT = "as another account"


@dataclass(frozen=True, slots=True)
class Confinement:
    """How to start a program of PostgreSQL (`prefix` before its command), and who owns its files then."""

    kind: Kind
    prefix: tuple[str, ...]
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """One way that was tried, and why it does not work here (empty: it does)."""

    confinement: Confinement
    refusal: str


def find_confinement(
    binaries: Binaries,
    directory: Path,
    *,
    only: Kind | None = None,
    data_owner: int | None = None,
    ours: Sequence[Path] = (),
) -> Confinement:
    """The first way that really runs `postgres` and reaches `directory`; DatabaseUnsuitable if none does.

    `data_owner`, the uid that existing data belongs to, decides between the ways: data is not handed over.
    `ours` are Holdfast's own folders, which an account may be let through. Blocking: tries each way once.
    """
    attempts: list[Attempt] = []
    for candidate in candidates(only):
        if data_owner is not None and candidate.uid != data_owner:
            attempts.append(Attempt(candidate, f"the data belongs to {owner_name(data_owner)}"))
            continue
        if candidate.kind is Kind.ACCOUNT:
            _let_through(candidate, ours)
        attempts.append(Attempt(candidate, _refusal(candidate, binaries, directory)))
        if not attempts[-1].refusal:
            return candidate
    raise _none_works(attempts, directory, data_owner)


def candidates(only: Kind | None = None) -> list[Confinement]:
    """The ways that make sense for who we are, best first."""
    uid, gid = os.geteuid(), os.getegid()
    ways = [*_namespace(), *_accounts()] if uid == 0 else [Confinement(Kind.DIRECT, (), uid, gid)]
    return [way for way in ways if only in (None, way.kind)]


def _namespace() -> list[Confinement]:
    unshare = shutil.which("unshare")
    # initdb looks the id it runs under up in the passwd file; without an entry it gives up.
    known = [entry.pw_uid for entry in pwd.getpwall() if entry.pw_uid != 0]
    if unshare is None or not known:
        return []
    inside = _UNPRIVILEGED_ID if _UNPRIVILEGED_ID in known else max(known)
    prefix = (unshare, "--user", f"--map-user={inside}", f"--map-group={inside}", "--")
    return [Confinement(Kind.NAMESPACE, prefix, 0, os.getegid())]


def _accounts() -> list[Confinement]:
    setpriv = shutil.which("setpriv")
    entries = [entry for entry in map(account, ACCOUNTS) if entry is not None and entry.pw_uid != 0]
    if setpriv is None:
        return []
    return [
        Confinement(
            Kind.ACCOUNT,
            (
                setpriv,
                f"--reuid={entry.pw_uid}",
                f"--regid={entry.pw_gid}",
                "--clear-groups",
                "--no-new-privs",
                "--",
            ),
            entry.pw_uid,
            entry.pw_gid,
        )
        for entry in entries
    ]


def account(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def owner_name(uid: int) -> str:
    """The account's name, or its number where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _let_through(way: Confinement, folders: Sequence[Path]) -> None:
    """Let the account's group pass through `folders`, not list or write them. Only what is root's own."""
    for folder in folders:
        if folder.is_dir() and folder.stat().st_uid == os.geteuid():
            os.chown(folder, -1, way.gid)
            folder.chmod(0o710)


def _refusal(way: Confinement, binaries: Binaries, directory: Path) -> str:
    # The folders first: setpriv can start a program that the account it becomes could not find again.
    for folder in (binaries.folder, directory):
        if blocked := first_unreachable(way, folder):
            return f"{owner_name(way.uid)} cannot enter {blocked}"
    return _complaint([*way.prefix, binaries.postgres, "--version"])


def first_unreachable(way: Confinement, folder: Path) -> Path | None:
    """The topmost folder on the way to `folder` that a confined program cannot enter; None if it can."""
    if not _enter(way, folder):
        return None
    return next((step for step in (*reversed(folder.parents), folder) if _enter(way, step)), None)


def _enter(way: Confinement, folder: Path) -> str:
    return _complaint([*way.prefix, "/bin/sh", "-c", 'cd "$1"', "sh", str(folder)])


def _complaint(command: Sequence[str]) -> str:
    """Empty when the command succeeds, else its last word on stderr."""
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=_PROBE_TIMEOUT_S, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    if ended.returncode == 0:
        return ""
    return (ended.stderr.strip().splitlines() or [f"exit status {ended.returncode}"])[-1]


def _none_works(attempts: Sequence[Attempt], directory: Path, data_owner: int | None) -> DatabaseUnsuitable:
    if data_owner is not None and all(attempt.confinement.uid != data_owner for attempt in attempts):
        could = " or ".join(dict.fromkeys(owner_name(attempt.confinement.uid) for attempt in attempts))
        return DatabaseUnsuitable(
            f"the data in {directory} belongs to {owner_name(data_owner)}, and PostgreSQL would run here as "
            f"{could or 'nobody at all'}",
            hint=f"run Holdfast as {owner_name(data_owner)}, choose another data directory, or hand the data "
            "over (chown -R)",
        )
    tried = "; ".join(
        f"{attempt.confinement.kind.value} ({owner_name(attempt.confinement.uid)}): {attempt.refusal}"
        for attempt in attempts
    )
    return DatabaseUnsuitable(
        f"PostgreSQL does not run as root, and no way around that works here: "
        f"{tried or 'neither unshare nor setpriv is installed'}",
        hint="run Holdfast as a plain user; or allow user namespaces; or let the account enter the folder "
        "named above (chgrp GROUP FOLDER && chmod g+x FOLDER); or use your own server by postgres.url",
    )
