"""Backups and restores of one database beside pgBackRest, Barman and `cp -r`, taking turns.

Every round changes the database and lets each side take its turn, in another order each time.
HOLDFAST_BENCH_MB is the database's size (2048, or 256 with --quick); HOLDFAST_BENCH_DIR a folder with a
short path and room for ten times that. With HOLDFAST_BENCH_LARGE=1 it is three rounds of full, restore and
increments beside pgBackRest and `cp -r` alone, with room for four times the size.

PGBACKREST and BARMAN name the peers' programs, when they are not in PATH. One that does not know
PostgreSQL 18 is measured on PostgreSQL 15, which has no increments.
"""

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.backup_server import Server
from bench.backup_sides import Barman, Copy, Holdfast, PgBackRest, found_program, knows_18
from bench.machine import backed_memory, settled_disk
from bench.subjects import FOLDER, Options
from bench.table import Measurement, Target, at_most, not_measured

FULL, CLUSTERED, SCATTERED = "full", "incremental, 1 % side by side", "incremental, 0.1 % scattered"
RESTORE, PITR, WARM = "restore", "to a moment: full + heavy incremental + WAL", "warm copy to a later moment"
MEMORY_MB = 300.0
LARGE_ROUNDS = 3
DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")
_HEAVY, _WAL = 0.3, 0.1
_RATIOS = {
    (FULL, "pgBackRest"): at_most(1.05),
    (FULL, "cp -r"): at_most(2.0),
    (CLUSTERED, "pgBackRest"): at_most(0.5),
    (SCATTERED, "pgBackRest"): at_most(0.5),
    (RESTORE, "pgBackRest"): at_most(1.0),
    (PITR, "pgBackRest"): at_most(1.0),
}


@dataclass(slots=True)
class Arena:
    """The server and the sides, and what was measured so far: seconds by what and who."""

    folder: Path
    server: Server
    holdfast: Holdfast
    peers: list[Any]
    copy: Copy
    large: bool
    """Whether room is short."""
    memory_bytes: int = 0
    """What a turn may fill the cache of files with."""
    took: dict[tuple[str, str], list[float]] = field(default_factory=dict)

    @property
    def incremental(self) -> bool:
        return self.server.binaries.major >= 17

    def turn(self, what: str, number: int, work: Iterable[tuple[str, Callable[[], float]]]) -> None:
        """Let each work in its turn; in every round another begins, and each comes behind another one."""
        order = list(work)
        at = number % len(order)
        order = order[at:] + order[:at]
        for name, each in reversed(order) if number % 2 else order:
            settled_disk()  # nobody's turn pays for what another one wrote or removed
            backed_memory(self.memory_bytes)
            seconds = each()
            self.took.setdefault((what, name), []).append(seconds)
            print(f"  {what}: {name} {seconds:.2f} s", file=sys.stderr, flush=True)


def measure(options: Options) -> Sequence[Measurement]:
    size_mb = int(os.environ.get("HOLDFAST_BENCH_MB", "256" if options.quick else "2048"))
    large = bool(os.environ.get("HOLDFAST_BENCH_LARGE"))
    runs = LARGE_ROUNDS if large else options.runs_beside_peers
    with arena(size_mb, large=large) as found:
        actual = found.server.size_mb()
        for number in range(runs):
            round_of_backups(found, number)
        for number in range(0 if large else runs):
            round_to_a_moment(found, number)
        where_time_goes(found)
        head = f"{actual:,.0f} MB, PostgreSQL {found.server.binaries.major}"
        memory = [
            Measurement(f"memory, {what}: Holdfast", "MB", [most], at_most(MEMORY_MB))
            for what, most in found.holdfast.memory_mb.items()
            if what != "forget"
        ]
        return [*measurements(found.took, head), *memory]


def round_of_backups(arena: Arena, number: int) -> None:
    """A full one of each, a restore of it, and the two increments behind it."""
    sides = [arena.holdfast, *arena.peers]
    arena.server.settle()
    arena.turn(FULL, number, ((each.name, each.full) for each in [*sides, arena.copy]))
    restoring = sides if arena.large else [*sides, arena.copy]
    if arena.large:
        arena.copy.clear()
    arena.turn(RESTORE, number, ((each.name, laid_out(arena, each)) for each in restoring))
    if arena.incremental:
        arena.server.change_clustered(0.01, number)
        arena.turn(CLUSTERED, number, ((each.name, each.incremental) for each in sides))
        arena.server.change_scattered(0.001, number)
        arena.turn(SCATTERED, number, ((each.name, each.incremental) for each in sides))


def round_to_a_moment(arena: Arena, number: int) -> None:
    """Full, then much changed, an increment, and then WAL up to the moment."""
    sides = [arena.holdfast, *arena.peers]
    for each in sides:
        each.full()
    if arena.incremental:
        arena.server.change_clustered(_HEAVY, number)
        for each in sides:
            each.incremental()
    arena.server.change_clustered(_WAL, number + 50)
    moment = arena.server.lsn()
    arena.server.archived()
    kept = arena.folder / "warm"
    shutil.rmtree(kept, ignore_errors=True)
    arena.turn(PITR, number, ((each.name, to_moment(arena, each, moment)) for each in sides))
    arena.holdfast.pitr(kept, moment)
    arena.server.change_clustered(0.01, number + 70)
    later = arena.server.lsn()
    arena.turn(WARM, number, [(arena.holdfast.name, lambda: arena.holdfast.warm(kept, later))])


def laid_out(arena: Arena, side: Any) -> Callable[[], float]:
    def work() -> float:
        with empty(arena) as folder:
            return float(side.restore(folder))

    return work


def to_moment(arena: Arena, side: Any, lsn: str) -> Callable[[], float]:
    def work() -> float:
        with empty(arena) as folder:
            return float(side.pitr(folder, lsn))

    return work


@contextmanager
def empty(arena: Arena) -> Iterator[Path]:
    """A folder that does not exist yet. Making and clearing it are not measured."""
    folder = arena.folder / "restored"
    shutil.rmtree(folder, ignore_errors=True)
    os.sync()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def arena(size_mb: int, *, large: bool) -> Iterator[Arena]:
    """Everything started, filled and ready; stopped and cleared away behind it."""
    # Told to end, it clears away as after an error.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))
    # A socket's path is short: the folder is the system's temporary one, unless another is named.
    with tempfile.TemporaryDirectory(prefix="hfb-", dir=os.environ.get("HOLDFAST_BENCH_DIR")) as name:
        folder = Path(name)
        peers, bin_dir = found_peers(folder)
        peers = [peer for peer in peers if not large or isinstance(peer, PgBackRest)]
        commands = [peer.archive_command for peer in peers]
        server = Server(folder / "server", bin_dir, " && ".join(commands) or "true")
        holdfast: Holdfast | None = None
        try:
            for peer in peers:
                peer.adopt(server)
            server.start()
            for peer in sorted(peers, key=lambda each: isinstance(each, Barman)):
                peer.create()
            print(f"filling the database with {size_mb} MB", file=sys.stderr, flush=True)
            if large:  # the WAL of filling it is as large as the database itself, and nobody asks for it
                server.archive_by("true")
            server.fill(size_mb)
            if large:
                server.archive_by(" && ".join(commands))
            server.archived()
            holdfast = Holdfast(server, folder / "holdfast")
            copy = Copy(server, folder / "copy")
            yield Arena(folder, server, holdfast, peers, copy, large, 2 * size_mb * 1024 * 1024)
        finally:
            if holdfast is not None:
                holdfast.close()
            server.stop()


def found_peers(folder: Path) -> tuple[list[Any], Path | None]:
    """The peers that are here, and PostgreSQL's programs that all of them know."""
    peers: list[Any] = []
    bin_dir = None
    program = found_program("PGBACKREST", "pgbackrest")
    if program is not None:
        peers.append(PgBackRest(program, folder / "pgbackrest"))
        if not knows_18(program):
            bin_dir = DEBIAN_15
            told = "it does not know PostgreSQL 18: measured on 15, without increments"
            print(f"WARNING: {peers[-1].name}: {told}", file=sys.stderr)
    program = found_program("BARMAN", "barman", FOLDER / "barman" / "bin" / "barman")
    if program is not None and shutil.which("rsync"):
        peers.append(Barman(program, folder / "barman"))
    return peers, bin_dir


def measurements(took: dict[tuple[str, str], list[float]], head: str) -> Iterator[Measurement]:
    """A line for each side's seconds, and one for each ratio that is promised. Pure."""
    for what in (FULL, CLUSTERED, SCATTERED, RESTORE, PITR, WARM):
        sides = {name: values for (each, name), values in took.items() if each == what}
        if not sides:
            yield not_measured(what, "not in this run; increments need PostgreSQL 17 and a pgBackRest for it")
            continue
        ours = sides["Holdfast"]
        yield Measurement(f"{what}: Holdfast", "s", ours, note=head)
        for name, values in sides.items():
            if name == "Holdfast":
                continue
            yield Measurement(f"{what}: {name}", "s", values)
            yield ratio(f"  Holdfast to {name}", ours, values, _RATIOS.get((what, name.split(" 2.")[0])))
    warm, fresh = took.get((WARM, "Holdfast")), took.get((PITR, "Holdfast"))
    if warm and fresh:
        yield ratio("  warm to fresh", warm, fresh, at_most(0.25))
    if not any(name.startswith("pgBackRest") for _, name in took):
        yield not_measured("pgBackRest", "not installed: apt-get install pgbackrest, or PGBACKREST=...")
    if not any(name.startswith("Barman") for _, name in took):
        yield not_measured(
            "Barman", "not installed: pip install barman psycopg2-binary, and rsync; or BARMAN=..."
        )


def ratio(name: str, ours: Sequence[float], theirs: Sequence[float], target: Target | None) -> Measurement:
    """Of rounds: what disturbed a round disturbed both."""
    return Measurement(
        name, "times", [mine / other for mine, other in zip(ours, theirs, strict=True)], target
    )


def where_time_goes(arena: Arena) -> None:
    for phase in arena.holdfast.phases:
        if phase.get("what") == "pitr":
            told = ", ".join(f"{name[:-2]} {value:.2f}" for name, value in phase.items() if name != "what")
            print(f"  to a moment, in seconds: {told}", file=sys.stderr)
