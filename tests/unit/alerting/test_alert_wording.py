"""What operators read."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from alerting_estates import T0

from holdfast.availability.alerting.burn import pairs_for
from holdfast.availability.alerting.model import (
    Alert,
    Kind,
    Notice,
    Reason,
    Severity,
    Silence,
    pattern_matches,
)
from holdfast.availability.alerting.wording import (
    LONGEST_TITLE,
    MOST_LISTED,
    message_of,
    trial_message,
    with_key,
)
from holdfast.kernel.durations import format_duration

LATER = T0 + timedelta(hours=1, minutes=2, seconds=3)


def alert(subject: str = "eu/api", **facts: object) -> Alert:
    return Alert(Kind.DOWN, subject, Severity.PAGE, T0, T0, T0, T0, f"{subject} is down", (), (), facts=facts)


def notice(*firing: Alert, resolved: tuple[Alert, ...] = (), reason: Reason = Reason.OPEN) -> Notice:
    return Notice("ops", "0: ", reason, LATER, firing, resolved)


def test_a_notice_in_full() -> None:
    over = replace(alert("eu/web"), resolved_at=T0 + timedelta(minutes=5))
    message = message_of(
        notice(alert(because_of="eu/db"), resolved=(over,)), link="https://status.example.com"
    )
    assert message.title == "[PAGE] eu/api is down"
    assert message.body == (
        "PAGE    eu/api is down\n"
        "        down:eu/api, for 1h2m, because of eu/db\n"
        "RESOLVED  eu/web is down\n"
        "        down:eu/web, after 5m\n"
        "\n"
        "To be left alone for a while: holdfast alert silence 'down:eu/api' --for 2h --reason WHY\n"
        "https://status.example.com"
    )


def test_titles_say_how_many_whether_still_and_whether_over() -> None:
    assert message_of(notice(alert(), alert("eu/web")), link=None).title == "[PAGE] eu/api is down (+1)"
    again = message_of(notice(alert(), reason=Reason.REPEAT), link=None)
    assert again.title == "[PAGE] still: eu/api is down"
    over = replace(alert(), resolved_at=LATER)
    assert message_of(notice(resolved=(over,)), link=None).title == "[RESOLVED] eu/api is down"
    assert message_of(notice(resolved=(over, over)), link=None).title == "[RESOLVED] 2 alerts"


def test_a_flood_of_alerts_makes_a_short_message() -> None:
    many = [alert(f"eu/c{number}") for number in range(500)]
    message = message_of(notice(*many), link=None)
    assert f"... and {500 - MOST_LISTED} more open" in message.body
    assert len(message.body) < 4000
    assert message.title.endswith("(+499)")


def test_a_title_is_one_short_line_whatever_the_reason_was() -> None:
    noisy = replace(alert(), summary="x\n\x00" * 300)
    title = message_of(notice(noisy, alert()), link=None).title
    assert len(title) <= LONGEST_TITLE
    assert title.isprintable()
    assert title.endswith("... (+1)")


def test_a_test_says_that_it_is_one_and_the_key_is_in_every_other_message() -> None:
    trial = trial_message("ops", T0)
    assert trial.title.startswith("[TEST]")
    assert "Nothing is wrong" in trial.body
    keyed = replace(message_of(notice(alert()), link=None), key="abc")
    assert with_key(keyed).endswith("\n\nnotice abc")
    assert with_key(trial) == trial.body


def test_a_silences_pattern_names_subjects_or_keys_and_only_the_star_is_special() -> None:
    assert pattern_matches("eu/*", Kind.DOWN, "eu/api")
    assert pattern_matches("*", Kind.BURN, "gold")
    assert pattern_matches("burn:*", Kind.BURN, "gold")
    assert pattern_matches("down:*/api", Kind.DOWN, "eu/api")
    assert not pattern_matches("burn:*", Kind.DOWN, "eu/api")
    assert not pattern_matches("eu", Kind.DOWN, "eu/api")
    assert not pattern_matches("eu/ap[i]", Kind.DOWN, "eu/api")
    assert not pattern_matches("eu.api", Kind.DOWN, "eu/api")
    silence = Silence(1, "eu/api", "", "", T0, LATER)
    assert silence.mutes(Kind.DOWN, "eu/api", LATER - timedelta(microseconds=1))
    assert not silence.mutes(Kind.DOWN, "eu/api", LATER)


def test_the_page_states_the_pairs_as_they_are() -> None:
    page = (Path(__file__).parents[3] / "docs" / "alerts.md").read_text(encoding="utf-8")
    window = timedelta(days=30)
    rows = [
        f"| {format_duration(pair.long)} | {format_duration(pair.short)} | {float(pair.burn):g} "
        f"| {float(pair.spent(window)) * 100:g} % | {pair.severity.label} |"
        for pair in pairs_for(window)
    ]
    assert "\n".join(rows) in page
    for kind in Kind:
        assert f"| `{kind.value}:" in page
