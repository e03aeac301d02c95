from decimal import Decimal

import pytest

from holdfast.estate.source import MAX_DEPTH, Place, node_at, place_of, plain, read_tree, scalars


def values(text: str) -> object:
    root, faults = read_tree(text)
    assert root is not None
    assert faults == []
    return plain(root)


def only_fault(text: str) -> tuple[int, int, str]:
    _, faults = read_tree(text)
    (fault,) = faults
    return fault.place.line, fault.place.column, fault.message


def test_scalars_follow_the_core_schema_of_yaml_1_2() -> None:
    assert values("a: no\nb: on\nc: yes\nd: true\ne: ~\nf:\ng: 010\nh: 0o17\ni: 0x1f\nj: 1_000\nk: 1:30") == {
        "a": "no",
        "b": "on",
        "c": "yes",
        "d": True,
        "e": None,
        "f": None,
        "g": 10,
        "h": 15,
        "i": 31,
        "j": "1_000",
        "k": "1:30",
    }


def test_decimals_stay_exact() -> None:
    assert values("a: 99.95\nb: 1.10\nc: 1e3") == {
        "a": Decimal("99.95"),
        "b": Decimal("1.10"),
        "c": Decimal(1000),
    }


@pytest.mark.parametrize("text", ["9" * 5000, "1e999", "0x" + "f" * 5000])
def test_a_number_too_long_to_be_a_setting_is_text(text: str) -> None:
    assert values(f"a: {text}") == {"a": text}


def test_quotes_and_the_string_tag_make_text() -> None:
    assert values("a: '1'\nb: \"true\"\nc: !!str 1\nd: ! 1") == {"a": "1", "b": "true", "c": "1", "d": "1"}


def test_keys_are_text_whatever_they_look_like() -> None:
    assert values("no: 1\n1.0: 2\ntrue: 3\n2026-01-01: 4") == {"no": 1, "1.0": 2, "true": 3, "2026-01-01": 4}


def test_aliases_and_merge_keys() -> None:
    text = "a: &a {x: 1, y: 2}\nb: *a\nc: {<<: *a, y: 3}\nd: {<<: [{x: 9}, *a]}\ne: {'<<': 1}"
    assert values(text) == {
        "a": {"x": 1, "y": 2},
        "b": {"x": 1, "y": 2},
        "c": {"y": 3, "x": 1},
        "d": {"x": 9, "y": 2},
        "e": {"<<": 1},
    }


def test_places() -> None:
    root, _ = read_tree("a:\n  b: text\n  c:\n    - x\n    - {d: 1}\n  e:\n")
    assert root is not None
    assert place_of(root, ("a", "b")) == Place(2, 6)
    assert place_of(root, ("a", "b"), at_key=True) == Place(2, 3)
    assert place_of(root, ("a", "c")) == Place(3, 3)
    assert place_of(root, ("a", "c", 1, "d")) == Place(5, 11)
    assert place_of(root, ("a", "e")) == Place(6, 3)
    assert place_of(root, ("a", "c", 1, "missing", "further")) == Place(5, 7)
    assert node_at(root, ("a", "missing", "further")) is None
    assert [path for path, _ in scalars(root)] == [("a", "b"), ("a", "c", 0), ("a", "c", 1, "d"), ("a", "e")]


def test_columns_count_characters() -> None:
    root, _ = read_tree("a: {ü: ö, b: 1}")
    assert root is not None
    assert place_of(root, ("a", "b")) == Place(1, 14)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a:\n\tb: 1\n", (2, 1, "a tab is used to indent")),
        ("a:\n  b: 1\n  \tc: 1\n", (3, 3, "a tab is used to indent")),
        ("a: 1\n b: 2\n", (2, 3, "a colon is not expected here")),
        ("a: b: c\n", (1, 5, "a colon is not expected here")),
        ("a: @x\n", (1, 4, "text cannot begin with `@`")),
        ("a: 'x\nb: 2\n", (1, 4, "a quote is opened and never closed")),
        ('a: "\\d"\n', (1, 5, "an unknown escape follows the backslash")),
        ("--- {a: 1}\n--- {b: 1}\n", (2, 1, "a second document begins here")),
        ("a: 1\nb: 2\na: 3\n", (3, 1, "the key `a` is given twice")),
        ("? [x]\n: 1\n", (1, 3, "a list or a mapping cannot be a key")),
        ("'': 1\n", (1, 1, "a key is missing before the colon")),
        ("a: !!python/object:os.system {}\n", (1, 4, "the tag `!!python/object:os.system` is not read here")),
        ("a: *b\n", (1, 4, "`*b` stands for nothing that is complete here")),
        ("a: &a [*a]\n", (1, 8, "`*a` stands for nothing that is complete here")),
        ("a: {<<: 1}\n", (1, 9, "`<<` takes in a mapping, or a list of mappings")),
        ("a: x\u0000\n", (1, 5, "the character U+0000 is not allowed here")),
        ("a: 1\nb: x\u2028y\n", (2, 5, "the character U+2028 is not allowed here")),
    ],
)
def test_a_fault_names_its_place(text: str, expected: tuple[int, int, str]) -> None:
    assert only_fault(text) == expected


@pytest.mark.parametrize("text", ["[" * 100_000, "a: " + "{b: " * 1000, "- " * 1000 + "x"])
def test_depth_is_bounded(text: str) -> None:
    assert only_fault(text)[2] == f"nested deeper than {MAX_DEPTH} levels"


def test_depth_through_aliases_is_bounded() -> None:
    text = "a0: &a0 [1]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 100))
    assert only_fault(text)[2] == f"nested deeper than {MAX_DEPTH} levels"


@pytest.mark.parametrize("item", ["[{}]", "{{<<: [{}]}}"])
def test_an_alias_bomb_is_refused(item: str) -> None:
    text = "a0: &a0 {k1: 1, k2: 2}\n"
    text += "".join(
        f"a{n}: &a{n} " + item.format(", ".join([f"*a{n - 1}"] * 10)) + "\n" for n in range(1, 20)
    )
    assert only_fault(text)[2] == "more than 250,000 keys and values"


def test_a_flood_of_values_is_refused() -> None:
    assert only_fault("a: [" + "1," * 300_000 + "]")[2] == "more than 250,000 keys and values"


@pytest.mark.parametrize("text", ["", "# a comment\n", "---\n...\n"])
def test_nothing_is_not_a_mapping(text: str) -> None:
    root, faults = read_tree(text)
    assert faults == []
    assert root is None or plain(root) is None
