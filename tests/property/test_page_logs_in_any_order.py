"""However a page_log is cut into files and portions, every page counts once, and lines keep their marks."""

import io
from collections import Counter
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from holdfast.ledger.intake.cups import PageLog
from holdfast.ledger.intake.drafts import Draft
from holdfast.ledger.intake.files import Line, Lines, Mark, marker
from holdfast.ledger.model import Refusal

BEGIN = datetime(2026, 5, 20, tzinfo=UTC)

# (printer, copies of each page, whether a total follows)
JOBS = st.lists(
    st.tuples(st.integers(0, 2), st.lists(st.integers(1, 3), max_size=4), st.booleans()), max_size=12
)


def written(jobs: list[tuple[int, list[int], bool]]) -> tuple[bytes, Counter[str]]:
    """A printer prints its jobs one after the other; the printers' lines are mixed as their turns come."""
    printed, queues = Counter[str](), dict[int, list[str]]()
    for number, (printer, pages, total) in enumerate(jobs, 1):
        told = [f"{page} {copies}" for page, copies in enumerate(pages, 1)]
        told += [f"total {sum(pages)}"] if total or not pages else []
        for each in told:
            queues.setdefault(printer, []).append(f"P{printer} ada {number} AT {each} - pc7 x A4 one-sided\n")
        printed[f"P{printer}-{number}"] = sum(pages)
    lines = list[str]()
    while any(queues.values()):
        for queue in queues.values():
            if queue:
                at = BEGIN + timedelta(seconds=len(lines))
                lines.append(queue.pop(0).replace("AT", f"[{at:%d/%b/%Y:%H:%M:%S} +0000]"))
    return "".join(lines).encode(), printed


def read(files: list[bytes], most: int) -> tuple[list[Draft], list[Mark]]:
    log, drafts, marks = PageLog(), list[Draft](), list[Mark]()
    for content in files:
        lines = Lines(io.BytesIO(content), marker(b""))
        while found := lines.read(most):
            for line in found:
                assert isinstance(line, Line)
                marks.append(line.mark)
                for each in log.read(line):
                    assert not isinstance(each, Refusal)
                    drafts.append(each)
        log.next_file()
    return [*drafts, *log.settled(None)], marks


@given(JOBS, st.data())
def test_every_page_counts_once(jobs: list[tuple[int, list[int], bool]], data: st.DataObject) -> None:
    content, printed = written(jobs)
    lines = content.splitlines(keepends=True)
    cut = data.draw(st.integers(0, len(lines)))
    whole, marks = read([content], 10_000)
    parted, marks_of_parts = read(
        [b"".join(lines[:cut]), b"".join(lines[cut:])], data.draw(st.integers(1, 4))
    )
    for drafts in (whole, parted):
        counted = Counter[str]()
        for draft in drafts:
            counted[draft.told["job"]] += draft.told.get("mono_impressions", 0)
        assert counted == printed
        assert len({draft.mark for draft in drafts}) == len(drafts)
    assert marks == marks_of_parts  # no two lines are equal: each bears its time
    assert {draft.mark: draft.told for draft in whole} == {draft.mark: draft.told for draft in parted}


@given(st.lists(st.sampled_from([b"a", b"b", b"", b"c" * 30]), max_size=30), st.data())
def test_a_file_that_grows_gives_the_same_lines(texts: list[bytes], data: st.DataObject) -> None:
    content = b"".join(text + b"\n" for text in texts)
    at_once = Lines(io.BytesIO(content), marker(b"k")).read(10_000)
    growing = io.BytesIO()
    lines, found, at = Lines(growing, marker(b"k")), list[Line | Refusal](), 0
    while at < len(content):
        upto = data.draw(st.integers(at + 1, len(content)))
        place = growing.tell()
        growing.seek(0, io.SEEK_END)
        growing.write(content[at:upto])
        growing.seek(place)
        found += lines.read(10_000)
        at = upto
    assert found == at_once
    assert not lines.half_written
    marks = [line.mark for line in at_once if isinstance(line, Line)]
    assert len(set(marks)) == len(marks)
