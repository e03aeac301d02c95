"""What a run that puts data back is started with, out of what somebody asked for."""

import json

import pytest

from holdfast.interfaces.recover_request import LONGEST_CHECK, RecoverRequest
from holdfast.recovery.errors import Refused

WELL = "SELECT true\n-- it is"
SINCE, UNTIL = "2026-11-22T03:00+01:00", "2026-11-22T02:30Z"


def test_a_check_of_several_lines_stands_in_one() -> None:
    given = RecoverRequest(WELL, " a , b.c ", SINCE, UNTIL, "replace", freeze=False, drop_new=True).given()
    assert json.loads(given["check"]) == WELL
    assert "\n" not in given["check"]
    assert given == {
        "check": given["check"],
        "tables": "a , b.c",
        "since": SINCE,
        "until": UNTIL,
        "freeze": "no",
        "way": "replace",
        "again": "no",
    }
    assert RecoverRequest(WELL).given()["freeze"] == "yes"
    assert json.loads(RecoverRequest("ä" * LONGEST_CHECK).given()["check"]) == "ä" * LONGEST_CHECK


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        (RecoverRequest(" \n"), "no check"),
        (RecoverRequest("SELECT\0true"), "no check"),
        (RecoverRequest("x" * (LONGEST_CHECK + 1)), "longer"),
        (RecoverRequest('"' * 3000), "too many quotes"),
        (RecoverRequest(WELL, "a.b.c"), "no name of a table"),
        (RecoverRequest(WELL, since=SINCE), "a beginning and an end"),
        (RecoverRequest(WELL, until=UNTIL), "a beginning and an end"),
        (RecoverRequest(WELL, since=UNTIL, until=SINCE), "after its beginning"),
        (RecoverRequest(WELL, since="yesterday", until=UNTIL), "is no time"),
        (RecoverRequest(WELL, since="2026-11-22T03:00", until=UNTIL), "offset"),
        (RecoverRequest(WELL, way="magic"), "magic"),
    ],
)
def test_what_no_run_could_be_started_with_is_refused(wanted: RecoverRequest, why: str) -> None:
    with pytest.raises(Refused, match=why) as refused:
        wanted.given()
    assert refused.value.hint
