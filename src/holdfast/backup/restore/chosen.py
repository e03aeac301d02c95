"""Which files are fetched when one table or one database is wanted: its own, and the catalogs. Pure.

All others are made hollow: of their size, and full of zeros that take no room. PostgreSQL recovers such a
folder. A base backup forces full-page writes, so WAL brings the whole of each page that it touches before it
changes a part of it; what no WAL touches stays zeros, which nobody reads. Nobody may take such a folder for
a copy of the server.
"""

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from holdfast.backup.errors import BackupError, Damaged
from holdfast.backup.restore.placing import Assembled, Chunk


class NotAlone(BackupError):  # noqa: N818  a state of affairs more than an error
    """Its files cannot be told from the others: all of them have to be fetched."""


@dataclass(frozen=True, slots=True)
class Sought:
    """A table of a database, or all of the database."""

    database: str
    schema: str = ""
    table: str = ""


Relation = tuple[int, int]
"""A database's oid, and the number of a relation's files in it, whichever tablespace they lie in: moving a
database to another one keeps them."""

FIRST_OF_USERS = 16384
"""Files below this number are catalogs. A catalog that was rewritten has a higher one."""
LARGE_OBJECTS = frozenset({2613, 2683})
"""pg_largeobject and its index: as long as what is in it, and nothing of a table."""

_FOLDER = re.compile(r"^(?:base|pg_tblspc/[0-9]+/[^/]+)/([0-9]{1,10})$")
_RELATION = re.compile(
    r"^(?:base|pg_tblspc/[0-9]+/[^/]+)/([0-9]{1,10})/([0-9]{1,10})(?:_[a-z]+)?(?:\.[0-9]+)?$"
)


def relation_of(path: str) -> Relation | None:
    """Whose file it is; None for what is no file of a relation, and for those that all databases share."""
    found = _RELATION.match(path)
    return (int(found[1]), int(found[2])) if found else None


def sign_in(folder: str) -> str:
    """The path of a file that is put into a database's folder; empty for what is none.

    PostgreSQL leaves it alone, and takes it along when the database moves to another tablespace. When WAL
    says that a database was made of another one's files, whatever was in its folder goes: what is there then
    may be copies of files that are hollow.
    """
    found = _FOLDER.match(folder)
    return f"{folder}/holdfast-{found[1]}" if found else ""


@dataclass(frozen=True, slots=True)
class Chosen:
    """Of the databases `catalogs` the catalogs, of `databases` everything, and these relations."""

    catalogs: frozenset[int]
    databases: frozenset[int] = frozenset()
    relations: frozenset[Relation] = frozenset()

    def takes(self, path: str) -> bool:
        """Whether a file is fetched, by its path in the restored folder."""
        found = relation_of(path)
        return found is None or self.takes_relation(found)

    def takes_relation(self, relation: Relation) -> bool:
        database, number = relation
        if database in self.databases or relation in self.relations:
            return True
        return database in self.catalogs and number < FIRST_OF_USERS and number not in LARGE_OBJECTS

    def widened(self, more: Iterable[Relation]) -> "Chosen":
        return replace(self, relations=self.relations | frozenset(more))

    @property
    def name(self) -> str:
        """Another one for each choice: a folder that was begun with another one is not gone on with."""
        told = repr((sorted(self.catalogs), sorted(self.databases), sorted(self.relations)))
        return hashlib.sha256(told.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Share:
    """What a choice takes of a chain of backups: of `stored_bytes`, which is what a whole restore fetches,
    `fetched_bytes`; on the disk at most `needed_bytes`.
    """

    chosen: Chosen
    fetched_bytes: int
    stored_bytes: int
    needed_bytes: int
    left_out: frozenset[Relation]
    """Relations that the backup has, and that are not fetched."""


def share_of(chosen: Chosen, files: Iterable[Assembled], chunks: Iterable[Chunk]) -> Share:
    """`files`: all of the result; `chunks`: all that hold something of them."""
    fetched = stored = needed = 0
    for chunk in chunks:
        stored += chunk.stored.stored_bytes
        if any(chosen.takes(part.file.path) for part in chunk.parts):
            fetched += chunk.stored.stored_bytes
    left: set[Relation] = set()
    for file in files:
        relation = relation_of(file.path)
        if relation is not None and not chosen.takes_relation(relation):
            left.add(relation)
        else:
            # An increment's own length is known when its header is: the oldest source is near enough.
            needed += sum(each.size for each in file.sources)
    return Share(chosen, fetched, stored, needed, frozenset(left))


def complete(files: Iterable[Assembled], size_of: Callable[[str], int]) -> None:
    """See that every file of a relation is there, as long as the backup says. Raises Damaged.

    `size_of` tells a file's bytes by its path, -1 for none.
    """
    for file in files:
        if relation_of(file.path) is None:
            continue
        wanted, found = file.length, size_of(file.path)
        if wanted is None:
            raise Damaged(f"{file.path}: the newest increment of it has no header")
        if found != wanted:
            raise Damaged(f"{file.path} has {max(found, 0)} bytes, and {wanted} were backed up")
