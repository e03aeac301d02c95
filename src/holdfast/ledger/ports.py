"""What the ledger needs from outside."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from holdfast.ledger.append.sequences import Numbers, Run
from holdfast.ledger.log.notes import Signature
from holdfast.ledger.log.tiles import FullTile, Quarter
from holdfast.ledger.log.tree import Edge
from holdfast.ledger.log.witness import Addition


class Key(NamedTuple):
    """What makes a record the same one, within its tenant."""

    source: str
    epoch: int
    seq: int


@dataclass(frozen=True, slots=True)
class Head:
    """Where a tenant's log stands: all that appending to it needs."""

    log_id: int
    origin: str
    edge: Edge
    known: Mapping[tuple[str, int], Numbers]
    """What each source has sent, by (source, epoch)."""


@dataclass(frozen=True, slots=True)
class ConflictKept:
    """A conflict entry, the leaf `leaf`, and the leaf hash of the record that came second."""

    key: Key
    came: bytes
    leaf: int


@dataclass(frozen=True, slots=True)
class Growth:
    """What one batch adds to one log: [from_size, to_size), its checkpoint, and everything under it."""

    log_id: int
    from_size: int
    to_size: int
    root: bytes
    note: str
    """The signed checkpoint's text, not cosigned yet and not published."""
    peaks: bytes
    """Of the tree of `to_size` leaves, the rightmost first: what the root was made of (log/tree.py)."""
    entries: bytes
    """The leaves as an entry bundle (log/tiles.py), compressed."""
    tiles: Sequence[FullTile]
    runs: Sequence[Run]
    """`leaf` counts from the log's beginning."""
    conflicts: Sequence[ConflictKept]
    supposed: Mapping[int, bytes] = field(default_factory=dict)
    """Leaves in full tiles, and the hashes that they are supposed to have."""


class Grown(NamedTuple):
    """What a log has more than a head of it knows."""

    edge: Edge
    runs: Sequence[Run]


class ProofParts(NamedTuple):
    """What proofs are made of, as it was asked for."""

    peaks: Sequence[bytes]
    """Empty where none are kept of that size."""
    quarters: Sequence[Quarter]
    hashes: Sequence[bytes]


class LogStore(Protocol):
    """The logs. Nothing in it is ever changed; a growth is in it wholly or not at all."""

    async def head(self, tenant: str) -> Head | None:
        """None for a tenant without a log. The edge is read from tiles and segments, not from a cache."""
        ...

    async def create(self, tenant: str, origin: str) -> Head:
        """An empty log; the one that is there when there is one."""
        ...

    async def since(self, head: Head) -> Grown | None:
        """What was appended behind that head; None when the log does not go on from it: after a restore."""
        ...

    async def append(self, growths: Sequence[Growth]) -> int:
        """All of them in one transaction. Returns the commit's LSN.

        Who appends to the same logs waits for its end. Raises Overtaken when somebody else has appended to
        one of the logs since its head was read, LogDamaged when a number of theirs stands already, and
        Otherwise when a leaf is not what a growth supposes, or cannot be found.
        """
        ...

    def turn(self, log_ids: Sequence[int]) -> "AbstractAsyncContextManager[LogStore]":
        """Until the block ends, which commits, nobody else appends to these logs. Inside, the caller reads
        and appends by what the block is given; what it appended is there once the block has ended.

        Who comes first has the first turn: nobody is overtaken for ever. Raises Overtaken when it does not
        come in time.
        """
        ...

    async def lsn(self) -> int:
        """A place in the database's WAL that is behind everything committed so far."""
        ...

    async def placed(self, log_id: int, keys: Sequence[Key]) -> Sequence[int]:
        """Under which leaf each key stands; all of them do. Raises LogDamaged otherwise."""
        ...

    async def conflicts_of(self, log_id: int, keys: Sequence[Key]) -> Sequence[ConflictKept]:
        """The conflict entries that these keys have already."""
        ...

    async def leaf_hashes(self, log_id: int, leaves: Sequence[int]) -> Sequence[bytes]:
        """Of leaves in full tiles."""
        ...

    async def hashes(self, log_id: int, level: int, first: int, count: int) -> bytes:
        """Hashes of a tile level, never across a tile's border; of partial tiles as well."""
        ...

    async def many_hashes(self, log_id: int, asked: Sequence[tuple[int, int, int]]) -> Sequence[bytes]:
        """`hashes` of each (level, first, count), together."""
        ...

    async def proof_parts(
        self,
        log_id: int,
        sizes: Sequence[int],
        quarters: Sequence[tuple[int, int]],
        asked: Sequence[tuple[int, int, int]],
    ) -> ProofParts:
        """In one go and as little as can be: the peaks of trees of these sizes, quarters of full tiles by
        (level, first hash // 64), and `hashes` of each (level, first, count).

        Raises LogDamaged when something is missing. Peaks may be: those of a size that was never signed, or
        signed before they were kept.
        """
        ...

    async def entries(self, log_id: int, first: int, count: int) -> Sequence[bytes]:
        """Leaves in order. Raises EntriesPruned for what retention took, LogDamaged for what is not there."""
        ...

    async def grown_to(self, log_id: int, at_least: int) -> tuple[int, bytes, str] | None:
        """The newest growth's (size, root, note) when the log has at least that size."""
        ...


class Pending(NamedTuple):
    """A log that has grown beyond what was handed out (`published`, 0 for nothing yet)."""

    log_id: int
    tenant: str
    origin: str
    size: int
    published: int


class Published(Protocol):
    """The checkpoints that were handed out. One is handed out only once it is in two regions and cosigned."""

    async def pending(self) -> Sequence[Pending]:
        """What there is to publish, the longest waiting first."""
        ...

    async def handed(self, tenant: str) -> tuple[int, str | None] | None:
        """A tenant's log and its newest; None for a tenant without a log."""
        ...

    async def listed(self, log_id: int, origin: str, below: int) -> int | None:
        """The newest leaf of the log over all, below a size, that is a checkpoint of this origin."""
        ...

    async def newest_of_all(self) -> Sequence[tuple[int, str]]:
        """Each tenant's log and its newest, where there is one; the log over all logs is not among them."""
        ...

    async def newest(self, log_id: int) -> str | None: ...

    async def publish(self, log_id: int, size: int, note: str) -> None:
        """Keeps it. Raises Fork when another one of that size was published."""
        ...


class SecondRegion(Protocol):
    """What of the database is on the second region's disk."""

    async def flushed(self, lsn: int, within_s: float) -> bool:
        """True once it is; False when it is not known to be after so long."""
        ...


class Witness(Protocol):
    """Has its own key, elsewhere, and cosigns what continues what it has seen."""

    async def cosign(self, addition: Addition) -> Signature | int:
        """Its signature, or the size at which it stands (another one than the addition's old size).

        Raises WitnessAway, WitnessRefused when it does not trust this log's key, or Fork when it knows a
        checkpoint that cannot be continued by this one.
        """
        ...


class Packs(Protocol):
    """Compresses and decompresses segments."""

    def pack(self, content: bytes) -> bytes: ...

    def unpack(self, content: bytes, most: int) -> bytes:
        """Raises LogDamaged for what it did not pack, or what would be longer than `most`."""
        ...
