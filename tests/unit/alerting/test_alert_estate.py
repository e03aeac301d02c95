"""What can be wrong with `alerts` in the estate file, and how it is told."""

import pytest
from alerting_estates import EXAMPLE, parsed

from holdfast.bootstrap.alerting import UnknownSubject, check_pattern
from holdfast.estate.errors import EstateError


def problem(old: str, new: str) -> tuple[str, str, str]:
    """The one thing wrong once `old` is `new`: its path, the message, the hint."""
    assert old in EXAMPLE
    with pytest.raises(EstateError) as refused:
        parsed(EXAMPLE.replace(old, new, 1))
    (found,) = refused.value.problems
    assert found.line > 0
    return found.path, found.message, found.hint


def test_defaults_are_sensible() -> None:
    alerts = parsed(EXAMPLE[: EXAMPLE.index("  routes:")]).alerts
    assert alerts.routes == ()
    assert alerts.resolve_after.total_seconds() == 300
    assert alerts.unknown_limit == 50
    (_, route) = parsed(EXAMPLE).alerts.routes
    assert route.group_wait.total_seconds() == 30
    assert route.repeat_every is None


def test_a_channels_url_is_a_secret_by_reference() -> None:
    path, message, _ = problem("url: env:OPS", "url: 'slack://T1/A2/secret'")
    assert path == "alerts.channels.ops.url"
    assert message.startswith("write a secret by reference")
    assert "T1" not in message


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "channels: [ops]",
            "channels: [opps]",
            ("alerts.routes[0].channels[0]", "no channel is called `opps`", "did you mean `ops`?"),
        ),
        (
            "channels: [ops]",
            "channels: [ops, ops]",
            ("alerts.routes[0].channels[1]", "`ops` is given twice", "keep one of the two"),
        ),
        (
            "severities: [page]",
            "agreements: [golt]",
            ("alerts.routes[0].match.agreements[0]", "no agreement is called `golt`", "did you mean `gold`?"),
        ),
        (
            "severities: [page]",
            "components: [eu/appi]",
            (
                "alerts.routes[0].match.components[0]",
                "`eu/appi` matches no component",
                "did you mean `eu/api`?",
            ),
        ),
        (
            "group_by: []",
            "group_by: [kind, kind]",
            ("alerts.routes[1].group_by[1]", "`kind` is given twice", "keep one of the two"),
        ),
        (
            "group_by: []",
            "group_wait: 2h",
            (
                "alerts.routes[1].group_wait",
                "longer than an hour",
                "an alert that waits is not read in time",
            ),
        ),
        (
            "group_by: []",
            "repeat_every: 1s",
            ("alerts.routes[1].repeat_every", "shorter than a minute", "at least 1m"),
        ),
        (
            "alerts:\n",
            "alerts:\n  resolve_after: 2d\n",
            ("alerts.resolve_after", "longer than a day", "at most 1d; an alert that never ends is not read"),
        ),
        (
            "group_by: []",
            "repeat: 1h",
            ("alerts.routes[1].repeat", "unknown key", "did you mean `repeat_every`?"),
        ),
    ],
)
def test_a_mistake_is_told_with_its_place_and_a_hint(
    old: str, new: str, expected: tuple[str, str, str]
) -> None:
    assert problem(old, new) == expected


def test_a_wrong_word_is_told_with_the_possible_ones() -> None:
    path, _, hint = problem("severities: [page]", "severities: [pager]")
    assert path == "alerts.routes[0].match.severities[0]"
    assert "page" in hint


def test_a_broken_part_does_not_hide_the_others_mistakes() -> None:
    text = EXAMPLE.replace("url: env:OPS", "url: 5").replace("channels: [desk]", "channels: [dsk]")
    with pytest.raises(EstateError) as refused:
        parsed(text)
    assert [each.path for each in refused.value.problems] == [
        "alerts.channels.ops.url",
        "alerts.routes[1].channels[0]",
    ]


def test_a_silence_that_could_never_match_is_refused() -> None:
    estate = parsed(EXAMPLE)
    for pattern in ("eu/api", "eu/*", "*", "gold", "burn:gold", "down:us/*"):
        check_pattern(pattern, estate)
    with pytest.raises(UnknownSubject) as refused:
        check_pattern("eu/appi", estate)
    assert refused.value.hint == "did you mean `eu/api`?"
    with pytest.raises(UnknownSubject):
        check_pattern("burn:eu/api", estate)
