"""Whatever is posted, by whom and in which portions: each record stands once, and every other is told."""

import asyncio
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.adapters.memory.ledger.logs import MemoryLogs
from holdfast.adapters.packing.segments import ZstdSegments
from holdfast.adapters.signing.ed25519 import Ed25519Signer
from holdfast.ledger.append import pieces
from holdfast.ledger.append.recent import RUN, Places, Recent
from holdfast.ledger.append.sequences import Known, Run, numbered
from holdfast.ledger.append.sequencing import Sequencer
from holdfast.ledger.canonical import entry_of, leaf_of
from holdfast.ledger.log.tree import Edge, leaf_hashes
from holdfast.ledger.model import Conflict, Kind, Prepared, Record, Status
from holdfast.ledger.ports import Key

PACKS = ZstdSegments()
NOON = msgspec.convert("2026-11-22T12:00:00Z", Record.__annotations__["occurred_at"])

Post = tuple[str, str, int, int]
"""Tenant, source, seq and which of two records."""
RECORDS = st.lists(st.tuples(st.integers(0, 14), st.sampled_from([0, 0, 0, 1])), max_size=12)
REQUESTS = st.tuples(st.sampled_from("tu"), st.sampled_from("ab"), RECORDS, st.booleans(), st.booleans())
GATHERED = st.lists(st.lists(REQUESTS, min_size=1, max_size=3), max_size=5)


def leaf(tenant: str, source: str, seq: int, word: int) -> bytes:
    record = Record(
        epoch=1,
        job=f"{source}-{seq}-{word}",
        kind=Kind.PRINT,
        occurred_at=NOON,
        seq=seq,
        source=source,
        status=Status.COMPLETED,
        tenant=tenant,
    )
    return leaf_of(record)


def prepared(tenant: str, source: str, records: list[tuple[int, int]], *, packed: bool) -> Prepared:
    leaves = [leaf(tenant, source, seq, word) for seq, word in records]
    return Prepared(
        tenant,
        [] if packed else leaves,
        leaf_hashes(leaves),
        numbered([source] * len(leaves), [1] * len(leaves), [seq for seq, _ in records]),
        pieces.in_pieces(leaves, PACKS) if packed else (),
    )


def line(store: MemoryLogs) -> Sequencer:
    return Sequencer(
        store,
        PACKS,
        origin_of=lambda tenant: f"ledger.example/{tenant}",
        signer_for=lambda origin: Ed25519Signer(origin, bytes(32)),
    )


@settings(deadline=None, max_examples=150)
@given(GATHERED)
def test_every_record_stands_once_and_every_other_one_is_told(
    gathered: list[list[tuple[str, str, list[tuple[int, int]], bool, bool]]],
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for module, name, few in (
            (pieces, "PIECE_LEAVES", 4),
            (pieces, "FEW_LEAVES", 3),
        ):
            patch.setattr(module, name, few)
        asyncio.run(_played(gathered))


async def _played(gathered: list[list[tuple[str, str, list[tuple[int, int]], bool, bool]]]) -> None:
    store = MemoryLogs(PACKS)
    sequencer = line(store)
    standing, clashes = dict[tuple[str, str, int], bytes](), dict[bytes, set[bytes]]()
    for requests in gathered:
        batches = []
        for tenant, source, records, packed, ordered in requests:
            batches.append(prepared(tenant, source, sorted(records) if ordered else records, packed=packed))
            if not ordered and packed:  # as another process would, which knows nothing
                sequencer = line(store)
        appended = await sequencer.append(batches)
        for (tenant, source, records, _, ordered), placed in zip(requests, appended.placed, strict=True):
            assert placed.tenant == tenant
            told = list[str]()
            for seq, word in sorted(records) if ordered else records:
                came = leaf(tenant, source, seq, word)
                stands = standing.get((tenant, source, seq))
                if stands is None:
                    standing[tenant, source, seq] = came
                elif stands != came:
                    clashes.setdefault(stands, set()).add(came)
                told.append("new" if stands is None else "repeated" if stands == came else "conflict")
            assert placed.repeated == [at for at, each in enumerate(told) if each == "repeated"]
            assert placed.conflicts == [at for at, each in enumerate(told) if each == "conflict"]
            await _stand(
                store,
                placed.log_id,
                placed.leaves,
                told,
                sorted(records) if ordered else records,
                (tenant, source),
            )
    for tenant in "tu":
        head = await store.head(tenant)
        entries = await store.entries(head.log_id, 0, head.edge.size) if head else []
        mine = sorted(each for key, each in standing.items() if key[0] == tenant)
        assert sorted(each for each in entries if isinstance(entry_of(each), Record)) == mine
        told_of = [entry for entry in map(entry_of, entries) if isinstance(entry, Conflict)]
        assert sorted((entries[entry.leaf], entry.came.encode()) for entry in told_of) == sorted(
            (stands, came) for stands, those in clashes.items() for came in those if stands in mine
        )
        if head:
            assert head.edge.root == Edge().grown(leaf_hashes(entries))[0].root


async def _stand(
    store: MemoryLogs,
    log_id: int,
    leaves: Sequence[int],
    told: Sequence[str],
    records: Sequence[tuple[int, int]],
    whose: tuple[str, str],
) -> None:
    for at, each, (seq, word) in zip(leaves, told, records, strict=True):
        [entry] = await store.entries(log_id, at, 1)
        came = leaf(*whose, seq, word)
        if each == "conflict":
            found = entry_of(entry)
            assert isinstance(found, Conflict)
            assert found.came.encode() == came
        else:
            assert entry == came


@given(st.lists(st.integers(1, 5), min_size=1, max_size=30), st.integers(0, 400))
def test_what_is_recent_is_right_and_bounded(sizes: list[int], most: int) -> None:
    recent, size, keys = Recent(most), 0, list[tuple[Key, int, bytes]]()
    for number, count in enumerate(sizes):
        hashes = leaf_hashes([b"%d" % (size + at) for at in range(count)])
        first = (37 * number) % 101 * 10  # later ones are not always higher
        recent.add(7, size, hashes, [Run("s", 1, first, first + count - 1, 0)])
        keys += [(Key("s", 1, first + at), size + at, hashes[at * 32 : at * 32 + 32]) for at in range(count)]
        size += count
    known = [stood(recent, 7, key) for key, _, _ in keys]
    for (_, leaf_, hash_), found in zip(keys, known, strict=True):
        assert found in {None, (leaf_, hash_)}
    fitting, room = 0, most
    for count in reversed(sizes):  # the newest, as many as there is room for
        room -= count + RUN
        if room < 0:
            break
        fitting += count
    assert [found is not None for found in known] == [False] * (size - fitting) + [True] * fitting
    assert stood(recent, 8, keys[-1][0]) is None
    assert stood(recent, 7, Key("s", 2, keys[-1][0].seq)) is None

    told = dict[int, tuple[int, bytes] | None]()
    numbers = [key.seq for key, _, _ in keys]
    parts = recent.standing(7, "s", 1, min(numbers) - 2, max(numbers) + 2)
    for first, last, leaf_, hashes in parts:
        assert len(hashes) in {0, (last - first + 1) * 32}
        for at in range(last - first + 1):
            hash_ = hashes[at * 32 : at * 32 + 32]
            told[first + at] = (leaf_ + at, hash_) if hash_ else None
    assert list(told) == list(range(min(numbers) - 2, max(numbers) + 3))
    for (key, _, _), found in zip(keys, known, strict=True):
        assert told.pop(key.seq) == found
    assert set(told.values()) == {None}
    asked = [Known(at, at + 1, "s", 1, key.seq, False) for at, (key, _, _) in enumerate(keys)]
    whole, others = recent.whole(7, asked)
    assert {each.begin: (leaf_, hash_) for _, leaf_, hash_, each in whole} == {
        at: found for at, found in enumerate(known) if found is not None
    }
    assert [each.begin for each in others] == [at for at, found in enumerate(known) if found is None]
    mixed = [one for each in asked for one in (each, each._replace(source="t"), each._replace(epoch=2))]
    assert recent.whole(7, mixed)[0] == whole
    assert recent.whole(8, asked) == ([], asked)
    recent.forget()
    assert stood(recent, 7, keys[-1][0]) is None


def stood(recent: Recent, log_id: int, key: Key) -> tuple[int, bytes] | None:
    """The leaf under the key, and its hash."""
    [found] = recent.standing(log_id, key.source, key.epoch, key.seq, key.seq)
    return found[2:] if found[3] else None


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 4)), max_size=30), st.integers(0, 12))
def test_the_places_of_numbers_are_right_or_unknown(growths: list[tuple[int, int]], most: int) -> None:
    places, size, numbers, standing = Places(most), 0, [0, 500, 250, 900], dict[int, int]()
    for which, count in growths:
        first = numbers[which]
        numbers[which] += count + (size % 3 == 2)  # some numbers never come
        standing |= {first + at: size + at for at in range(count)}
        places.add(7, size - 1, [Run("s", 1, first, first + count - 1, 1)])
        size += count
    found = {number: placed(places, 7, number) for number in range(1000)}
    assert all(leaf_ in {None, standing.get(number)} for number, leaf_ in found.items())
    ranges = sum(standing.get(number - 1) != leaf_ - 1 for number, leaf_ in standing.items())
    if ranges <= most:
        assert {number: leaf_ for number, leaf_ in found.items() if leaf_ is not None} == standing
    together, left = places.found(7, [(0, number, came(number)) for number in range(1000)])
    assert {each.first: leaf_ for _, leaf_, each in together} == {
        number: leaf_ for number, leaf_ in found.items() if leaf_ is not None
    }
    assert [number for _, number, _ in left] == [number for number in found if found[number] is None]
    asked = [(0, number, each) for number in range(1000) for each in (came(number), came(number, "t"))]
    assert places.found(7, asked)[0] == together
    assert placed(places, 8, 0) is None
    places.forget()
    assert placed(places, 7, 0) is None


def placed(places: Places, log_id: int, number: int) -> int | None:
    """The leaf that the number stands under."""
    told, _ = places.found(log_id, [(0, number, came(number))])
    return told[0][1] if told else None


def came(number: int, source: str = "s") -> Known:
    return Known(0, 1, source, 1, number, False)
