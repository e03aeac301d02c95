"""A bundle proves its entries to who has only it and a key; changed anywhere, it proves nothing."""

import asyncio
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.adapters.memory.ledger.logs import MemoryLogs
from holdfast.adapters.packing.segments import ZstdSegments
from holdfast.adapters.signing.ed25519 import Ed25519Signer, verifies
from holdfast.ledger.append.sequencing import Sequencer
from holdfast.ledger.errors import EntriesPruned, ProofRefused
from holdfast.ledger.log.notes import VerifierKey
from holdfast.ledger.log.tree import Edge, leaf_hash, leaf_hashes
from holdfast.ledger.model import Numbered, Prepared
from holdfast.ledger.publish.bundles import BundleHead, BundleVerifier, Bundling, Roots, gaps

ORIGIN = "ledger.example/acme"
LOG = Ed25519Signer(ORIGIN, bytes(32))
LEDGER = Ed25519Signer("ledger.example", bytes(32))
PACKS = ZstdSegments()


class Pruned:
    """A store whose oldest entries are gone."""

    def __init__(self, store: MemoryLogs, up_to: int) -> None:
        self._store = store
        self._up_to = up_to

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def entries(self, log_id: int, first: int, count: int) -> object:
        if first < self._up_to:
            raise EntriesPruned("gone")
        return await self._store.entries(log_id, first, count)


def leaf(number: int) -> bytes:
    return b'{"seq":%d}' % number


async def log_of(size: int) -> tuple[MemoryLogs, str]:
    store = MemoryLogs(PACKS)
    line = Sequencer(store, PACKS, origin_of=lambda _: ORIGIN, signer_for=lambda _: LOG)
    leaves = [leaf(number) for number in range(size)]
    batch = Prepared("acme", leaves, leaf_hashes(leaves), [Numbered("s", 1, 0, size)])
    await line.append([batch])
    grown = await store.grown_to(1, size)
    assert grown is not None
    return store, grown[2]


def head(note: str) -> BundleHead:
    return BundleHead(bundle=1, checkpoint=note, chosen="some", keys=[], log=ORIGIN, made_at="now")


def bundle(size: int, chosen: list[range], up_to: int = 0) -> bytes:
    async def make() -> bytes:
        store, note = await log_of(size)
        bundling = Bundling(Pruned(store, up_to), 1, head(note))  # type: ignore[arg-type]
        return b"".join([line async for line in bundling.lines(chosen)])

    return asyncio.run(make())


def read(content: bytes, keys: list[VerifierKey] | None = None) -> dict[int, bytes]:
    first, *lines = content.splitlines(keepends=True)
    verifier = BundleVerifier(first, keys if keys is not None else [LEDGER.key], verifies)
    found = dict(entry for entry in map(verifier.line, lines) if entry)
    verifier.end()
    return found


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_entries_are_proved(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 1200))
    chosen = sorted(data.draw(st.sets(st.integers(0, size - 1), max_size=30)))
    found = read(bundle(size, [range(each, each + 1) for each in chosen]))
    assert found == {each: leaf(each) for each in chosen}


@pytest.mark.parametrize("size", [1, 255, 256, 257, 1000])
def test_a_whole_log_needs_no_hashes(size: int) -> None:
    content = bundle(size, [range(size)])
    assert len(read(content)) == size
    assert content.count(b"\n") == size + 1
    for line in content.splitlines():
        json.loads(line)


def test_what_was_pruned_is_stood_in_for() -> None:
    found = read(bundle(900, [range(100, 700)], up_to=333))
    assert set(found) == set(range(333, 700))


def test_one_entry_needs_about_an_inclusion_proof() -> None:
    content = bundle(1024, [range(700, 701)])
    assert content.count(b"\n") == 1 + 1 + 10
    assert read(content, [LOG.key]) == {700: leaf(700)}


def test_changed_anywhere_it_proves_nothing() -> None:
    content = bundle(300, [range(7), range(290, 295)])
    told = [content.index(each) for each in (b'"chosen"', b'"log"', b'"made_at"', b"\n")]
    refused = 0
    for at in range(len(content)):
        for bit in (1, 32):
            wrong = content[:at] + bytes([content[at] ^ bit]) + content[at + 1 :]
            try:
                found = read(wrong)
            except ProofRefused:
                refused += 1
                continue
            assert found == read(content)  # a word for people was changed
            assert told[0] <= at < told[1] or b'"made_at"' in content[max(at - 20, 0) : at + 10], wrong
    assert refused > len(content)


@pytest.mark.parametrize("cut", [1, 2, 5, 12])
def test_cut_off_or_put_together_it_proves_nothing(cut: int) -> None:
    lines = bundle(300, [range(100, 106)]).splitlines(keepends=True)
    for wrong in (
        lines[:-cut],
        [*lines[:cut], *lines[cut + 1 :]],
        [*lines[:cut], lines[cut], *lines[cut:]],
        [lines[0], *lines[:0:-1]],
    ):
        with pytest.raises(ProofRefused):
            read(b"".join(wrong))


def test_only_the_key_that_was_brought_is_believed() -> None:
    content = bundle(10, [range(3)])
    other = Ed25519Signer("ledger.example", b"x" * 32).key
    for keys in ([], [other], [Ed25519Signer("ledger.example/other", bytes(32)).key]):
        with pytest.raises(ProofRefused):
            read(content, keys)
    witness = Ed25519Signer("witness.example", b"w" * 32, 4).key
    with pytest.raises(ProofRefused, match="0 of 1 witnesses"):
        read(content, [LOG.key, witness])


@given(st.lists(st.integers(1, 200), max_size=8))
def test_a_root_comes_out_of_any_pieces(widths: list[int]) -> None:
    size = sum(widths)
    hashes = [leaf_hash(leaf(number)) for number in range(size)]
    roots, at = Roots(), 0
    for width in widths:
        for height, index in gaps(at, at + width):
            low = index << height
            edge, _ = Edge().grown(b"".join(hashes[low : low + (1 << height)]))
            roots.add(height, edge.root)
        at += width
    edge, _ = Edge().grown(b"".join(hashes))
    assert (roots.size, roots.root) == (size, edge.root)
