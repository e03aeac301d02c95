"""Whatever somebody does to the log of evidence is found: by the log itself, or by what was known of it."""

from dataclasses import replace
from functools import cache

from hypothesis import given
from hypothesis import strategies as st
from tests.recorded import BEGAN, ORIGIN, SIGNER, a_remark, an_evidence

from holdfast.adapters.signing.ed25519 import Ed25519Signer, verifies
from holdfast.bootstrap.recovery.sealing import (
    check_log,
    checkpoint_in,
    continues,
    exported,
    seal_with,
    shown_by,
)
from holdfast.ledger.errors import ProofRefused
from holdfast.recovery.errors import EvidenceRefused
from holdfast.recovery.evidence import canonical
from holdfast.recovery.evidence_ports import Kept, Seal, leaf_hash

MOST = 12
THIEF = Ed25519Signer(ORIGIN, bytes(32))


def sealed(contents: list[tuple[str, bytes]], seal: Seal) -> list[Kept]:
    kept, hashes = list[Kept](), b""
    for leaf, (id_, content) in enumerate(contents):
        hashes += leaf_hash(content)
        kept.append(Kept(leaf, id_, content, seal(hashes), BEGAN))
    return kept


@cache
def log_of(count: int) -> tuple[Kept, ...]:
    entries = [(each.id, canonical(each)) for each in (an_evidence(f"r{n}") for n in range(count))]
    if count > 2:
        remark = a_remark(entries[0][0])
        entries[2] = (remark.id, canonical(remark))
    return tuple(sealed(entries, seal_with(SIGNER)))


@st.composite
def tampered(draw: st.DrawFn) -> tuple[list[Kept], list[Kept], str]:
    """(as it was, as it is now, what was done)."""
    before = list(log_of(draw(st.integers(2, MOST))))
    now, at = list(before), draw(st.integers(0, len(before) - 1))
    how = draw(st.sampled_from(["byte", "swap", "drop", "repeat", "note", "thief", "anew", "cut"]))
    if how == "byte":
        content = bytearray(now[at].content)
        place = draw(st.integers(0, len(content) - 1))
        content[place] ^= 1 << draw(st.integers(0, 7))
        now[at] = replace(now[at], content=bytes(content))
    elif how == "swap":
        other = draw(st.integers(0, len(now) - 1).filter(lambda each: each != at))
        now[at], now[other] = replace(now[other], leaf=at), replace(now[at], leaf=other)
    elif how == "drop":
        at = min(at, len(now) - 2)  # the last one alone is the case `cut`
        now = [replace(each, leaf=leaf) for leaf, each in enumerate(now[:at] + now[at + 1 :])]
    elif how == "repeat":
        now = [replace(each, leaf=leaf) for leaf, each in enumerate([*now[: at + 1], *now[at:]])]
    elif how == "note":
        other = draw(st.integers(0, len(now) - 1).filter(lambda each: each != at))
        now[at] = replace(now[at], note=now[other].note)
    elif how == "thief":
        now = sealed([(each.id, each.content) for each in now], seal_with(THIEF))
    elif how == "anew":
        fresh = an_evidence(f"anew{at}")
        contents = [(each.id, each.content) for each in now]
        contents[at] = (fresh.id, canonical(fresh))
        now = sealed(contents, seal_with(SIGNER))
    else:
        now = now[:at]
    return before, now, how


@given(tampered())
def test_what_was_done_to_it_is_found(done: tuple[list[Kept], list[Kept], str]) -> None:
    before, now, how = done
    found = check_log(now, ORIGIN, [SIGNER.key], verifies)
    try:
        continues(now, checkpoint_in(before[-1].note.encode()))
    except EvidenceRefused:
        goes_on = False
    else:
        goes_on = True

    if how in {"anew", "cut"}:  # whoever has the key, and who takes the end away, is found by what is known
        assert not goes_on
    else:
        assert not found.holds, how


@given(st.integers(1, MOST), st.data())
def test_a_log_that_goes_on_continues_whatever_was_told_of_it(count: int, data: st.DataObject) -> None:
    kept = log_of(count)
    earlier = kept[data.draw(st.integers(0, count - 1))]

    continues(kept, checkpoint_in(earlier.note.encode()))
    assert check_log(kept, ORIGIN, [SIGNER.key], verifies).holds


@given(st.integers(1, 4), st.data())
def test_no_byte_of_an_entry_in_an_exported_file_can_be_another(count: int, data: st.DataObject) -> None:
    kept = log_of(count)
    content = exported(kept, kept, ORIGIN, SIGNER.key.text)
    told = shown_by(content, [SIGNER.key], verifies)
    at = data.draw(st.integers(0, len(content) - 1))
    altered = bytearray(content)
    altered[at] ^= 1 << data.draw(st.integers(0, 7))

    try:
        shown = shown_by(bytes(altered), [SIGNER.key], verifies)
    except (EvidenceRefused, ProofRefused):
        return
    # What is left may be blanks, or words that are told and prove nothing: the entries are the same.
    assert shown.entries == told.entries
    assert shown.log == told.log
