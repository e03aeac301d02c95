"""References between components: what is refused, and how it is said."""

import pytest
from estate_files import edited, load, problems

from holdfast.estate.scope import dependencies

COMPONENTS = """\
      web:
        name: Website
        checks:
          page:
            url: https://example.com/
"""


def with_components(**depends_on: str) -> str:
    """The valid estate with these components, each with what it depends on."""
    parts = {"web": "", **depends_on}
    text = "".join(
        COMPONENTS.replace("web:", f"{key}:").replace(
            "        checks:", f"        depends_on: [{names}]\n        checks:"
        )
        for key, names in parts.items()
    )
    return edited((COMPONENTS, text))


def test_what_is_declared_is_what_is_there() -> None:
    estate = load(with_components(web="eu/api, eu/db", api="eu/db", db=""))
    assert dependencies(estate) == {
        ("eu", "web"): (("eu", "api"), ("eu", "db")),
        ("eu", "api"): (("eu", "db"),),
    }


@pytest.mark.parametrize(
    ("depends_on", "message", "hint"),
    [
        ({"web": "eu/dbb", "db": ""}, "`eu/dbb` matches no component", "did you mean `eu/db`?"),
        ({"web": "ue/db", "db": ""}, "`ue/db` matches no component", "did you mean `eu/db`?"),
        ({"web": "eu/db, eu/db", "db": ""}, "`eu/db` is there twice", "leave one out"),
        ({"web": "eu/web"}, "depends on itself: eu/web -> eu/web", "leave one of these out"),
        (
            {"web": "eu/api", "api": "eu/db", "db": "eu/api"},
            "depends on itself: eu/api -> eu/db -> eu/api",
            "leave one of these out",
        ),
        (
            {"web": "eu/*", "db": "eu/web"},
            "depends on itself: eu/web -> eu/db -> eu/web",
            "leave one of these out",
        ),
    ],
)
def test_what_cannot_be_is_refused(depends_on: dict[str, str], message: str, hint: str) -> None:
    (problem,) = problems(with_components(**depends_on))
    assert (problem.message, problem.hint) == (message, hint)
    assert ".depends_on" in problem.path
    assert problem.line > 0


def test_a_diamond_is_no_circle() -> None:
    assert not problems(with_components(web="eu/api, eu/login", api="eu/db", login="eu/db", db=""))


def test_every_circle_is_told() -> None:
    found = problems(with_components(web="eu/a", a="eu/web, eu/b", b="eu/a"))
    assert [problem.message for problem in found] == [
        "depends on itself: eu/web -> eu/a -> eu/web",
        "depends on itself: eu/a -> eu/b -> eu/a",
    ]


def test_a_long_chain_is_followed_to_its_end() -> None:
    count = 3000
    chain = {f"c{number}": f"eu/c{number + 1}" for number in range(count)}
    assert not problems(with_components(**chain, **{f"c{count}": ""}))


def test_a_reference_that_is_no_text_is_told_once() -> None:
    (problem,) = problems(with_components(web="7, {a: b}"))[:1]
    assert "depends_on" in problem.path


def test_a_broken_component_hides_no_other_problem() -> None:
    text = with_components(web="eu/dv", db="").replace("name: Website", "nam: Website", 1)
    messages = [problem.message for problem in problems(text)]
    assert "`eu/dv` matches no component" in messages
