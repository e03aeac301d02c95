"""What is stored of logs in memory, for verifying: what leaves alone make is reckoned from them."""

from collections.abc import Sequence

from holdfast.adapters.memory.ledger.logs import MemoryLogs, MemoryPublished
from holdfast.ledger.append.sequences import Numbers
from holdfast.ledger.log.checkpoint import Checkpoint
from holdfast.ledger.log.tiles import TILE_WIDTH, FullTile, bundle
from holdfast.ledger.log.tree import Edge, leaf_hashes
from holdfast.ledger.ports import Key, Packs
from holdfast.ledger.verify.stretches import PublishedNote, StoredGrowth, Stretch
from holdfast.ledger.verify.verifying import LogStanding, Span, body_of


class MemoryLogReading:
    """LogReading over the logs in memory."""

    def __init__(self, logs: MemoryLogs, published: MemoryPublished, packs: Packs) -> None:
        self._logs = logs
        self._published = published
        self._packs = packs

    async def logs(self) -> Sequence[LogStanding]:
        return [
            LogStanding(
                each.id, tenant, each.origin, len(each.entries), max(self._published.of(each.id), default=0)
            )
            for tenant, each in sorted(self._logs.all.items())
        ]

    async def borders(self, log_id: int, size: int, leaves: int) -> Sequence[int]:
        begins = [0, *(to for to, _, _ in self._logs.log(log_id).growths)]
        found = dict[int, int]()
        for each in begins:
            if each < size:
                found.setdefault(each // leaves, each)
        return list(found.values())

    async def stretch(self, span: Span) -> Stretch:
        log = self._logs.log(span.log.log_id)
        ends = [to for to, _, _ in log.growths]
        growths = [
            StoredGrowth(
                first, to, root, note, self._packs.pack(bundle(log.entries[first:to])), log.peaks.get(to)
            )
            for first, (to, root, note) in zip([0, *ends], log.growths, strict=False)
            if span.from_size <= first < span.to_size
        ]
        return Stretch(
            tenant=span.log.tenant,
            origin=span.log.origin,
            from_size=span.from_size,
            to_size=span.to_size,
            growths=growths,
            tiles=self._tiles(span),
            beyond=self._beyond(span),
            runs=sorted(
                (run for run in log.runs if span.from_size <= run.leaf < span.to_size),
                key=lambda run: run.leaf,
            ),
            conflicts=[each for each in log.conflicts if span.from_size <= each.leaf < span.to_size],
            published=[
                PublishedNote(size, note)
                for size, note in sorted(self._published.of(span.log.log_id).items())
                if span.from_size < size <= span.to_size
            ],
        )

    async def edge(self, log_id: int, size: int) -> Edge:
        edge, _ = Edge().grown(leaf_hashes(self._logs.log(log_id).entries[:size]))
        return edge

    async def twice(self, log_id: int) -> Sequence[Key]:
        known, found = dict[tuple[str, int], Numbers](), list[Key]()
        for run in sorted(self._logs.log(log_id).runs):
            numbers = known.setdefault((run.source, run.epoch), Numbers())
            if numbers.touches(run.first, run.last):
                found.append(Key(run.source, run.epoch, run.first))
            numbers.add(run.first, run.last)
        return found

    async def pruned(self, log_id: int) -> int:
        del log_id
        return 0

    async def beyond(self, log_id: int) -> Sequence[str]:
        log = self._logs.log(log_id)
        size = len(log.entries)
        there = {
            "numbers": any(run.leaf < 0 or run.leaf + run.last - run.first >= size for run in log.runs),
            "conflicts": any(not 0 <= each.leaf < size for each in log.conflicts),
            "published checkpoints": any(not 0 < each <= size for each in self._published.of(log_id)),
        }
        return [sort for sort, is_there in there.items() if is_there]

    async def published_bodies(self, told: Sequence[Checkpoint]) -> Sequence[str | None]:
        by_origin = {each.origin: self._published.of(each.id) for each in self._logs.all.values()}
        notes = [by_origin.get(each.origin, {}).get(each.size) for each in told]
        return [None if note is None else body_of(note) for note in notes]

    def _tiles(self, span: Span) -> list[FullTile]:
        hashes = leaf_hashes(self._logs.log(span.log.log_id).entries[: span.to_size])
        _, tiles = Edge().grown(hashes)
        return [tile for tile in tiles if (tile.index + 1) * TILE_WIDTH ** (tile.level + 1) > span.from_size]

    def _beyond(self, span: Span) -> bytes:
        first = span.to_size // TILE_WIDTH * TILE_WIDTH
        leaves = self._logs.log(span.log.log_id).entries[first : first + TILE_WIDTH]
        return leaf_hashes(leaves) if len(leaves) == TILE_WIDTH else b""
