"""One bit is changed at any place of a stretch of a log: it does not pass, and is told at its place."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.kept_logs import KEYS, TENANT, stored_in

from holdfast.adapters.packing.segments import ZstdSegments
from holdfast.adapters.signing.ed25519 import verifies
from holdfast.ledger.errors import LedgerError
from holdfast.ledger.log.tree import Edge
from holdfast.ledger.verify.stretches import Checked, Stretch, What, checked
from holdfast.ledger.verify.verifying import Span

PACKS = ZstdSegments()
SORTS = {
    "entries": ("growths", "entries", {What.ENTRIES}),
    "roots": ("growths", "root", {What.ROOT}),
    "notes": ("growths", "note", {What.NOTE}),
    "peaks": ("growths", "peaks", {What.ROOT}),
    "tiles": ("tiles", "hashes", {What.TILES}),
    "roots of tiles": ("tiles", "root", {What.TILES}),
    "roots of quarters": ("tiles", "quarter_roots", {What.TILES}),
    "sources": ("runs", "source", {What.NUMBERS}),
    "epochs": ("runs", "epoch", {What.NUMBERS}),
    "numbers": ("runs", "first", {What.NUMBERS}),
    "last numbers": ("runs", "last", {What.NUMBERS}),
    "leaves": ("runs", "leaf", {What.NUMBERS}),
    "conflicts": ("conflicts", "came", {What.CONFLICT}),
    "leaves of conflicts": ("conflicts", "leaf", {What.CONFLICT, What.NUMBERS}),
    "published": ("published", "note", {What.PUBLISHED}),
    "published sizes": ("published", "size", {What.PUBLISHED}),
}


async def _read() -> Stretch:
    async with stored_in(None) as stored:
        [log] = [each for each in await stored.reading.logs() if each.tenant == TENANT]
        return await stored.reading.stretch(Span(log, 0, log.size))


WHOLE = asyncio.run(_read())


def check(stretch: Stretch) -> Checked:
    return checked(stretch, Edge(), KEYS, verifies, PACKS)


def flipped(value: Any, at: int) -> Any:
    if isinstance(value, int):
        return value ^ 1 << at % 14
    content = value.encode() if isinstance(value, str) else value
    place = at // 8 % len(content)
    wrong = content[:place] + bytes([content[place] ^ 1 << at % 8]) + content[place + 1 :]
    return wrong.decode("utf-8", "replace") if isinstance(value, str) else wrong


def changed(item: Any, name: str, value: Any) -> Any:
    return item._replace(**{name: value}) if hasattr(item, "_replace") else replace(item, **{name: value})


def unpacked(content: bytes) -> bytes | None:
    try:
        return PACKS.unpack(content, 1 << 28)
    except LedgerError:
        return None


def test_what_was_not_changed_passes() -> None:
    found = check(WHOLE)
    assert found.findings == []
    assert found.entries == WHOLE.to_size


@pytest.mark.parametrize("sort", SORTS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_flipped_bit_does_not_pass(sort: str, data: st.DataObject) -> None:
    rows, name, expected = SORTS[sort]
    items = list(getattr(WHOLE, rows))
    which = data.draw(st.integers(0, len(items) - 1))
    value = getattr(items[which], name)
    bits = 14 if isinstance(value, int) else 8 * len(value)
    wrong = flipped(value, data.draw(st.integers(0, bits - 1)))
    if name == "entries" and unpacked(wrong) == unpacked(value):
        return  # a bit that no decoder reads
    items[which] = changed(items[which], name, wrong)
    if name == "leaf" and rows == "runs":
        items.sort(key=lambda run: run.leaf)
    found = check(replace(WHOLE, **{rows: items}))
    assert {each.what for each in found.findings} & expected, f"{value!r} became {wrong!r}"


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_bit_of_an_entry_is_told_at_its_leaf(data: st.DataObject) -> None:
    """Below the last full tile the tiles know which leaf it is; nothing else is said."""
    full = [each for each in WHOLE.growths if each.to_size <= WHOLE.to_size // 256 * 256]
    growth = data.draw(st.sampled_from(full))
    plain = PACKS.unpack(growth.entries or b"", 1 << 28)
    at = data.draw(st.integers(0, len(plain) - 1))
    wrong = PACKS.pack(plain[:at] + bytes([plain[at] ^ 1]) + plain[at + 1 :])
    growths = [each._replace(entries=wrong) if each == growth else each for each in WHOLE.growths]
    found = check(replace(WHOLE, growths=growths))
    assert {each.what for each in found.findings} == {What.ENTRIES}
    assert all(growth.from_size <= each.leaf < growth.to_size for each in found.findings)
    assert found.end.size == WHOLE.to_size
    assert found.end.root == check(WHOLE).end.root


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_bit_of_a_tile_is_told_once_at_its_leaf(data: st.DataObject) -> None:
    tile = data.draw(st.sampled_from([each for each in WHOLE.tiles if each.level == 0]))
    at = data.draw(st.integers(0, len(tile.hashes) - 1))
    wrong = tile.hashes[:at] + bytes([tile.hashes[at] ^ 128]) + tile.hashes[at + 1 :]
    tiles = [replace(each, hashes=wrong) if each == tile else each for each in WHOLE.tiles]
    [found] = check(replace(WHOLE, tiles=tiles)).findings
    assert (found.what, found.leaf) == (What.TILES, tile.index * 256 + at // 32)


@given(data=st.data())
def test_entries_without_their_segments_are_vouched_for_by_tiles(data: st.DataObject) -> None:
    """As far as they are full: retention never takes what the last tile needs."""
    kept = data.draw(st.integers(0, len(WHOLE.growths) - 2))
    growths = [each._replace(entries=None) if n < kept else each for n, each in enumerate(WHOLE.growths)]
    found = check(replace(WHOLE, growths=growths))
    assert found.findings == []
    assert sum(end - first for first, end in found.pruned) == (growths[kept].from_size if kept else 0)
