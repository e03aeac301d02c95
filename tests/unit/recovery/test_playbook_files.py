"""Playbooks from their files: what is read, and that all that is wrong is told with its line."""

import re
from datetime import timedelta
from pathlib import Path

import pytest

from holdfast.bootstrap.recovery.known import known_actions
from holdfast.bootstrap.recovery.playbook_files import MOST_BYTES
from holdfast.bootstrap.recovery.playbooks import (
    BUILT_IN,
    MOST_FILES,
    own_names,
    read_file,
    read_playbook,
    read_shelf,
)
from holdfast.estate.model import Estate
from holdfast.interfaces.cli.ports import Place
from holdfast.recovery.checking import Signature
from holdfast.recovery.errors import NotThere, PlaybookWrong
from holdfast.recovery.model import Gate, Pause, Step, Together
from holdfast.recovery.shelf import found_in, startable
from rehearsed import MOVING, playbook_of

ESTATE = Estate.model_validate(
    {
        "regions": {"here": {"name": "Here"}},
        "clusters": {
            "eu": {
                "name": "Europe",
                "region": "here",
                "components": {
                    "api": {"name": "API", "checks": {"up": {"type": "tcp", "host": "x", "port": 1}}}
                },
            }
        },
    }
)
"""Without a `recovery:` section: what actions there are does not depend on it."""
TELL = {"practice.tell": Signature(frozenset({"text"}), frozenset({"text"}))}


def problems(text: str, **how: object) -> list[tuple[int, str, str]]:
    found = read_playbook("p", text.encode(), "/p.yaml", **how)  # type: ignore[arg-type]
    assert (found.playbook is None) == bool(found.problems)
    return [(each.line, each.path, each.message) for each in found.problems]


def stage(text: str) -> str:
    return f"title: P\nstages:\n  - {{{text}}}\n"


def test_a_playbook_is_read_with_its_times_and_kinds() -> None:
    playbook = playbook_of("moving", MOVING)

    look, agree, _, settle, sides, promote = playbook.stages
    assert isinstance(look, Step)
    assert isinstance(agree, Gate)
    assert agree.expires_after == timedelta(minutes=30)
    assert isinstance(settle, Pause)
    assert settle.lasts == timedelta(minutes=1)
    assert isinstance(sides, Together)
    assert sides.steps[0].retry.pause == timedelta(seconds=5)
    assert isinstance(promote, Step)
    assert promote.no_return
    assert (playbook.name, playbook.revision, playbook.moves_traffic) == ("moving", 1, True)


def test_what_is_given_to_an_action_stays_as_it_was_written() -> None:
    playbook = playbook_of(
        "p", stage("name: a, title: A, action: x, given: {port: 05432, on: yes, within: 5m, nothing: }")
    )
    (step,) = playbook.steps()
    assert step.given == {"port": "05432", "on": "yes", "within": "5m", "nothing": ""}


def test_everything_that_is_wrong_is_told_at_once_with_its_line() -> None:
    text = """\
title: Bad
revision: 3
stages:
  - {name: Look, title: x, action: practice.tell}
  - {title: z, action: practice.tell}
  - {name: c, title: y, action: practice.tell, retry: {atempts: 3}}
  - {name: t, title: T, steps: [{name: d, title: d, actin: q}]}
  - hello
  - {name: u, title: U}
  - {name: v, title: V, stage: loop}
"""
    told = problems(text)
    assert [(line, path) for line, path, _ in told] == [
        (2, "revision"),
        (4, "stages[0].name"),
        (5, "stages[1]"),
        (6, "stages[2].retry.atempts"),
        (7, "stages[3].steps[0].actin"),
        (8, "stages[4]"),
        (9, "stages[5]"),
        (10, "stages[6]"),
    ]


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        (stage("name: a, title: A, action: x, within: 5 minutes"), "stages[0].within", "is not a duration"),
        (stage("name: a, title: A, lasts: [1m]"), "stages[0].lasts", "is not a duration"),
        (stage("name: a, title: A, lasts: {a: 1m}"), "stages[0].lasts", "is not a duration"),
        (stage("name: a, title: A, action: x, retry: {pause: 1 s}"), "stages[0].retry.pause", "is not a"),
        ("title: P\nstages: 3\n", "stages", "must be a list"),
        ("title: 3\nstages: []\n", "title", "must be text"),
        ("title: P\nstages: []\n", "stages", "there are none"),
        ("- 1\n", "", "holds no playbook"),
        ("", "", "holds no playbook"),
        ("a: {", "", ""),
        ("name: other\n" + stage("name: a, title: A, action: x"), "name", "is not the file's name"),
        ("moves_traffic: yes\n" + stage("name: a, title: A, action: x"), "moves_traffic", "true or false"),
        (stage("name: g, title: G, roles: [boss]"), "stages[0].roles[0]", "there is no role 'boss'"),
        (stage("name: g, title: G, roles: []"), "stages[0].roles", "nobody could approve"),
        (stage("name: g, title: G, roles: [admin], approvals: 9"), "stages[0].approvals", "5"),
        (stage("name: t, title: T, steps: []"), "stages[0].steps", "there are none"),
        (stage("name: p, title: P, lasts: 0s"), "stages[0].lasts", "longer than nothing"),
        (stage("name: p, title: P, lasts: 90d"), "stages[0].lasts", "longer than 14 days"),
        (stage('name: a, title: A, action: x, given: {b: "{c}"}'), "stages[0].given.b", "nobody gives 'c'"),
        (stage('name: a, title: A, action: x, given: {b: "{"}'), "stages[0].given.b", "not closed"),
        (stage('name: a, title: A, action: x, given: {b: "{subject!r}"}'), "stages[0].given.b", "brace"),
        (stage("name: a, title: A, action: x, given: {subject: b}"), "stages[0].given.subject", "run's own"),
        (
            stage('name: a, title: A, action: x, given: {b: "{a.text}"}'),
            "stages[0].given.b",
            "not done before",
        ),
        (stage('name: a, title: " ", action: x'), "stages[0].title", "is empty"),
    ],
)
def test_what_is_wrong_is_told_in_words(text: str, path: str, message: str) -> None:
    told = problems(text)
    assert any(at == path and message in said for _, at, said in told), told


def test_actions_are_known_and_are_given_what_they_want() -> None:
    text = """\
title: P
takes: {size: {title: How large, default: "1"}}
stages:
  - {name: a, title: A, action: practice.tel}
  - {name: b, title: B, action: practice.tell, undo: nothing, given: {text: "{size}"}}
  - {name: c, title: C, action: practice.tell}
  - {name: d, title: D, action: practice.tell, given: {text: "{b.lsn}"}}
  - {name: e, title: E, action: practice.tell, given: {text: "{b.text}"}}
"""
    assert problems(text, actions=TELL) == [
        (4, "stages[0].action", "there is no action 'practice.tel'"),
        (5, "stages[1].undo", "there is no action 'nothing'"),
        (6, "stages[2].given", "practice.tell wants 'text', which nobody gives"),
        (7, "stages[3].given.text", "'b' finds no 'lsn'"),
    ]


def test_names_are_there_once_also_among_steps_side_by_side() -> None:
    text = """\
title: P
stages:
  - {name: a, title: A, action: x}
  - {name: t, title: T, steps: [{name: a, title: A, action: x}, {name: t, title: A, action: x}]}
"""
    assert [path for _, path, _ in problems(text)] == ["stages[1].steps[0].name", "stages[1].steps[1].name"]


def test_what_is_odd_but_runs_is_a_warning() -> None:
    text = """\
title: P
stages:
  - {name: a, title: A, action: x, by_hand: Do it., no_return: true}
  - {name: b, title: B, action: x, undo: y}
"""
    found = read_playbook("p", text.encode(), "/p.yaml")
    assert found.playbook is not None
    assert {(each.path, each.message) for each in found.warnings} == {
        ("stages[1].by_hand", "is missing: the runbook has nothing to say"),
        ("stages[1].undo", "is never used: from 'a' on the run goes forward only"),
    }


def test_a_file_is_bounded_and_must_be_text(tmp_path: Path) -> None:
    large, binary, gone = tmp_path / "large.yaml", tmp_path / "binary.yaml", tmp_path / "gone.yaml"
    large.write_bytes(b"#" * (MOST_BYTES + 1))
    binary.write_bytes(b"title: \xff\xfe")
    told = [read_file(each).problems[0].message for each in (large, binary, gone)]
    assert told == [
        "is larger than 256 KiB",
        "is not UTF-8 text",
        "cannot be read: No such file or directory",
    ]


def test_deep_and_repeated_yaml_meets_a_bound() -> None:
    bomb = "a: &a [x, x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(9)
    )
    assert problems(bomb)
    assert problems("title: " + "[" * 10_000)


def test_holdfasts_own_playbooks_are_right_as_far_as_they_can_be_judged_alone() -> None:
    assert "rehearsal" in own_names()
    for name, each in read_shelf(None).items():
        assert each.playbook is not None, (name, [problem.as_text() for problem in each.problems])
        assert each.where == BUILT_IN
        assert not each.warnings, (name, [problem.as_text() for problem in each.warnings])


def test_every_playbook_of_holdfasts_own_names_actions_that_there_are() -> None:
    actions = known_actions(ESTATE, Place(Path("holdfast.yaml"), Path(".holdfast")))
    for name, each in read_shelf(None, actions).items():
        assert each.playbook is not None, (name, [problem.as_text() for problem in each.problems])


def test_the_playbook_of_the_documentation_can_be_run() -> None:
    page = Path(__file__).parents[3] / "docs" / "recovery.md"
    (sample,) = [
        each
        for each in re.findall(r"^```yaml\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
        if each.startswith("title:")
    ]
    actions = known_actions(ESTATE, Place(Path("holdfast.yaml"), Path(".holdfast")))
    found = read_playbook("restart-print", sample.encode(), "/docs.yaml", actions)
    assert not found.problems, [each.as_text() for each in found.problems]
    assert not found.warnings, [each.as_text() for each in found.warnings]


def test_a_folder_of_the_estates_goes_before_and_what_is_wrong_in_it_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(stage("name: a, title: A, action: x"))
    (tmp_path / "rehearsal.yaml").write_text("title: Broken\n")
    (tmp_path / "Not A Name.yaml").write_text(stage("name: a, title: A, action: x"))
    (tmp_path / "mine.yml").write_text("title: hides nothing\n")
    (tmp_path / "README.md").write_text("Not a playbook.")
    shelf = read_shelf(tmp_path)

    assert found_in(shelf, "mine").title == "P"
    assert shelf["rehearsal"].replaces
    assert "rehearsal" not in startable(shelf)
    with pytest.raises(PlaybookWrong, match="rehearsal"):
        found_in(shelf, "rehearsal")
    assert shelf["mine.yml"].problems[0].message.startswith("is not read")
    assert shelf["Not A Name.yaml"].problems
    assert "README.md" not in shelf
    with pytest.raises(NotThere) as error:
        found_in(shelf, "mne")
    assert "mine" in error.value.hint


def test_a_folder_that_is_not_there_or_has_too_many_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlaybookWrong, match="cannot be read"):
        read_shelf(tmp_path / "gone")
    for number in range(MOST_FILES + 1):
        (tmp_path / f"p{number}.yaml").touch()
    with pytest.raises(PlaybookWrong, match="at most"):
        read_shelf(tmp_path)
