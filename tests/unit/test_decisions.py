"""Every decision is in the list of them, under its own number and title."""

import re
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "adr"
PAGES = sorted(each for each in FOLDER.glob("*.md") if each.name != "README.md")
_LISTED = re.compile(r"^- \[(\d{4}) (.*)\]\(([^)]+)\)$", re.MULTILINE)
_HEAD = re.compile(r"# (\d{4})\. (.*)\n\n(?:Accepted|Replaced)[^\n]*\n")


def test_each_decision_is_listed_once_and_in_order() -> None:
    listed = _LISTED.findall((FOLDER / "README.md").read_text(encoding="utf-8"))
    assert [name for _, _, name in listed] == [each.name for each in PAGES]
    assert [number for number, _, _ in listed] == [each.name[:4] for each in PAGES]


def test_each_decision_begins_with_its_number_and_says_whether_it_holds() -> None:
    for page in PAGES:
        head = _HEAD.match(page.read_text(encoding="utf-8"))
        assert head is not None, page.name
        assert head[1] == page.name[:4]
