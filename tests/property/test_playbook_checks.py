"""Checks of playbooks: what passes is never stopped by a missing name, and no file breaks the reader."""

from datetime import UTC, datetime

from hypothesis import example, given
from hypothesis import strategies as st

from holdfast.bootstrap.recovery.playbooks import read_playbook
from holdfast.recovery.checking import findings_in
from holdfast.recovery.errors import PlaybookWrong
from holdfast.recovery.giving import given_to, taken_from
from holdfast.recovery.model import Did, Playbook, Record, Run, Stage, Step, Taken, Together
from holdfast.recovery.runbook import Facts, runbook_of
from holdfast.recovery.views import view_of

START = datetime(2026, 11, 23, tzinfo=UTC)
NAMES = ["a", "b", "c", "d", "e"]
TEXTS = st.one_of(
    st.sampled_from(
        ["", "plain", "{subject}", "{size}", "{nobody}", "{a.x}{b.x}", "{{not}}", "{", "}", "{a.x!r}"]
    ),
    st.sampled_from(NAMES).map(lambda name: "{" + name + ".x}"),
    st.text(alphabet="{}.ax:!0", max_size=8),
)


@st.composite
def steps(draw: st.DrawFn, name: str) -> Step:
    keys = draw(st.lists(st.sampled_from(["k", "size", "other"]), unique=True, max_size=2))
    return Step(
        name=name, title=name, action="act", given={key: draw(TEXTS) for key in keys}, by_hand=draw(TEXTS)
    )


@st.composite
def playbooks(draw: st.DrawFn) -> Playbook:
    names, stages = iter(NAMES), list[Stage]()
    for number in range(draw(st.integers(1, 3))):
        if draw(st.booleans()):
            stages.append(draw(steps(next(names))))
        else:
            beside = [draw(steps(next(names, f"f{n}"))) for n in range(draw(st.integers(1, 2)))]
            stages.append(Together(name=f"t{number}", title="t", steps=beside))
    takes = (
        {"size": Taken(title="s", default=draw(st.sampled_from([None, "1"])))} if draw(st.booleans()) else {}
    )
    return Playbook(name="p", title="p", stages=stages, takes=takes)


def _is_stopped(playbook: Playbook) -> bool:
    """Whether a step that is reached would not know what it is given."""
    given = taken_from(playbook, "eu", dict.fromkeys(playbook.takes, "x"))
    records = dict[str, Record]()
    for stage in playbook.stages:
        run = Run(
            id="r",
            playbook=playbook,
            subject="eu",
            given=given,
            started_by="a",
            started_at=START,
            records=records,
        )
        together = stage.steps if isinstance(stage, Together) else [stage]
        for step in together:
            assert isinstance(step, Step)
            try:
                given_to(run, step)
            except (PlaybookWrong, ValueError):
                return True
        done = Record(did=Did.DONE, began=START, ended=START, found={"x": "found"})
        records = {**records, **{step.name: done for step in together}}
    return False


@given(playbooks())
def test_what_is_right_is_never_stopped_by_a_name_that_nobody_gave(playbook: Playbook) -> None:
    wrong = [each for each in findings_in(playbook) if not each.warning]
    if not wrong:
        assert not _is_stopped(playbook)
    if _is_stopped(playbook):
        assert wrong
    # People can look at it whatever is wrong with it.
    runbook_of(playbook, Facts())
    view_of(Run(id="r", playbook=playbook, subject="eu", started_by="a", started_at=START), START)


@given(st.text(max_size=200))
@example("stages: [{name: a, title: b, action: [c]}]\ntitle: x")
@example("title: x\nstages: [{name: a, title: b, lasts: 1m, given: {within: x}}]")
@example("title: x\ntakes: []\nstages: [[]]")
@example("title: x\nstages: {a: {action: b}}")
@example("? [a]\n: b")
@example("title: x\nstages: [{name: a, title: b, action: c, retry: 3, within: 1e3}]")
def test_no_file_breaks_the_reader(text: str) -> None:
    found = read_playbook("p", text.encode("utf-8", "surrogatepass"), "/p.yaml")
    assert (found.playbook is None) == bool(found.problems)


KEYS = [
    "title",
    "stages",
    "takes",
    "roles",
    "about",
    "moves_traffic",
    "name",
    "stage",
    "retry",
    "given",
    "steps",
]
YAML = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(alphabet="ab 1", max_size=3), st.just("5m")),
    lambda below: st.one_of(
        st.lists(below, max_size=3),
        st.dictionaries(st.sampled_from([*KEYS, "action", "lasts", "within", "undo"]), below, max_size=4),
    ),
    max_leaves=12,
)


@given(YAML)
def test_no_tree_breaks_the_reader(tree: object) -> None:
    import json  # noqa: PLC0415

    found = read_playbook("p", json.dumps(tree).encode(), "/p.yaml")  # JSON is YAML
    assert (found.playbook is None) == bool(found.problems)
    assert all(problem.message for problem in found.problems)
