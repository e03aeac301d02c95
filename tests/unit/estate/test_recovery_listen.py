"""Where recovery's process answers."""

import pytest
from estate_files import VALID, load, problems

LEDGER = "ledger: {name: ledger.example.com, signing_key: env:LEDGER_KEY}\n"


def test_it_answers_nowhere_unless_it_is_told() -> None:
    recovery = load(VALID + "recovery: {}\n").recovery
    assert recovery is not None
    assert recovery.listen is None
    told = load(VALID + "recovery: {listen: '[::1]:8084'}\n").recovery
    assert told is not None
    assert told.listen == "[::1]:8084"


@pytest.mark.parametrize(
    "listen", ["127.0.0.1:8080", "127.0.0.1:8082", "127.0.0.1:8083", "8084", "127.0.0.1", "a b:80"]
)
def test_it_cannot_answer_where_others_do_or_nowhere_in_particular(listen: str) -> None:
    found = problems(f"{VALID}{LEDGER}recovery: {{listen: '{listen}'}}\n")
    assert any("recovery.listen" in str(each) for each in found), found
