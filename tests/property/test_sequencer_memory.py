"""What a sequencer has in memory of a log is what the log has, whoever else appends and whatever fails."""

import asyncio
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.kept_logs import TENANT, prepared, record

from holdfast.adapters.memory.ledger.logs import MemoryLogs
from holdfast.adapters.packing.segments import ZstdSegments
from holdfast.adapters.signing.ed25519 import Ed25519Signer
from holdfast.ledger.append.recent import Places, Recent
from holdfast.ledger.append.sequences import Known
from holdfast.ledger.append.sequencing import Sequencer
from holdfast.ledger.canonical import entry_of
from holdfast.ledger.log.tree import leaf_hashes
from holdfast.ledger.model import Conflict, Prepared
from holdfast.ledger.ports import Growth

PACKS = ZstdSegments()
LONG_AGO = 300
"""Records that fill a tile, and more."""
SHORTLY = st.integers(LONG_AGO - 30, LONG_AGO + 12)
POSTS = st.lists(
    st.tuples(st.one_of(st.integers(0, LONG_AGO), SHORTLY), st.sampled_from([0, 0, 0, 0, 1])), max_size=10
)
STEPS = st.lists(
    st.tuples(st.integers(0, 1), POSTS, st.sampled_from(["", "", "before", "behind"])), max_size=8
)

Post = tuple[int, int]
"""seq, and which of two records."""


class Failing(MemoryLogs):
    """Appends that fail before anything is written, or behind it: the answer is lost."""

    fails = ""

    async def append(self, growths: Sequence[Growth]) -> int:
        fails, self.fails = self.fails, ""
        if fails == "before":
            raise ConnectionError
        lsn = await super().append(growths)
        if fails:
            raise ConnectionError
        return lsn


def line(store: MemoryLogs, held: int, places: int) -> Sequencer:
    """That remembers so many hashes and ranges."""
    made = Sequencer(
        store,
        PACKS,
        origin_of=lambda tenant: f"ledger.example/{tenant}",
        signer_for=lambda origin: Ed25519Signer(origin, bytes(32)),
    )
    made._recent, made._places = Recent(held), Places(places)
    return made


def batch(posts: Sequence[Post]) -> Prepared:
    return prepared(*(record("a", seq, job=f"j{seq}-{word}") for seq, word in posts))


@settings(deadline=None, max_examples=120)
@given(STEPS, st.sampled_from([0, 40, 400, 10_000]), st.sampled_from([0, 3, 10_000]))
def test_memory_never_says_other_than_the_log(
    steps: list[tuple[int, list[Post], str]], held: int, places: int
) -> None:
    asyncio.run(_played(steps, held, places))


async def _played(steps: list[tuple[int, list[Post], str]], held: int, places: int) -> None:
    store = Failing(PACKS)
    lines = [line(store, held, places) for _ in range(2)]
    standing = dict.fromkeys(range(LONG_AGO), 0)
    await lines[0].append([batch([*standing.items()])])
    for which, posts, fails in steps:
        if not posts:
            continue
        told = _told(standing, posts)
        store.fails = fails
        try:
            [placed] = (await lines[which].append([batch(posts)])).placed
        except ConnectionError:
            if fails == "before":
                standing = {seq: word for seq, word in standing.items() if ("new", seq) not in told}
        else:
            assert placed.repeated == [at for at, each in enumerate(told) if each[0] == "repeated"]
            assert placed.conflicts == [at for at, each in enumerate(told) if each[0] == "conflict"]
        store.fails = ""  # what appends nothing does not fail
        for each in lines:
            await _as_the_log(each, store)
    head = await store.head(TENANT)
    assert head is not None
    entries = [entry_of(each) for each in await store.entries(head.log_id, 0, head.edge.size)]
    records = [each for each in entries if not isinstance(each, Conflict)]
    assert sorted((each.seq, each.job) for each in records) == sorted(
        (seq, f"j{seq}-{word}") for seq, word in standing.items()
    )


def _told(standing: dict[int, int], posts: Sequence[Post]) -> list[tuple[str, int]]:
    """What each of them is, with its number. New ones stand then."""
    told = list[tuple[str, int]]()
    for seq, word in posts:
        what = "new" if seq not in standing else "repeated" if standing[seq] == word else "conflict"
        standing.setdefault(seq, word)
        told.append((what, seq))
    return told


async def _as_the_log(sequencer: Sequencer, store: MemoryLogs) -> None:
    """Nothing that it remembers is different there."""
    head = await store.head(TENANT)
    assert head is not None
    entries = await store.entries(head.log_id, 0, head.edge.size)
    leaf_of = {
        run.first + at: run.leaf + at
        for run in store.log(head.log_id).runs
        for at in range(run.last - run.first + 1)
    }
    known = [Known(0, 1, "a", 1, seq, False) for seq in range(LONG_AGO + 20)]
    found, _ = sequencer._recent.whole(head.log_id, known)
    for _, leaf, hash_, each in found:
        assert (leaf, hash_) == (leaf_of[each.first], leaf_hashes([entries[leaf]]))
    placed, _ = sequencer._places.found(head.log_id, [(0, each.first, each) for each in known])
    for _, leaf, each in placed:
        assert leaf == leaf_of[each.first]
