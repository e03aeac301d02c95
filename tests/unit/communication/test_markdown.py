"""What Markdown becomes: the safe subset as HTML, and plain text."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.communication.markdown import html_of, text_of
from holdfast.communication.model import LONGEST_BODY
from holdfast.communication.texts import literally

TAGS = {
    *("p", "h4", "h5", "h6", "ul", "ol", "li", "blockquote", "hr", "br", "pre", "code", "strong", "em", "a"),
}


class Reader(HTMLParser):
    """Reads HTML as a browser would, and keeps what could do harm."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.harm: list[object] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        allowed = {"a": {"href", "rel"}, "ol": {"start"}}.get(tag, set())
        given = dict(attrs)
        if tag not in TAGS or given.keys() - allowed:
            self.harm.append((tag, attrs))
        href = given.get("href") or "https://x"
        if not re.match(r"(https?://[^/\s]|mailto:)", href) or re.search(r"[\s\x00-\x1f]", href):
            self.harm.append(href)
        if tag == "a" and given.get("rel") != "nofollow noopener":
            self.harm.append(attrs)

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        self.harm.append(data)

    def handle_decl(self, decl: str) -> None:
        self.harm.append(decl)

    def handle_pi(self, data: str) -> None:
        self.harm.append(data)


def harm_in(body: str) -> list[object]:
    reader = Reader()
    reader.feed(html_of(body))
    reader.close()
    return reader.harm


# What attacks are made of, to be put together in any order.
PARTS = st.sampled_from(
    [
        *(
            "<script>",
            "</script>",
            "<img src=x onerror=alert(1)>",
            "<a href='javascript:alert(1)'>",
            "<svg/onload=",
        ),
        *(
            "[x](",
            "](",
            ")",
            "![x](",
            "<",
            ">",
            '"',
            "'",
            "`",
            "```",
            "~~~",
            "\n",
            "\n\n",
            "    ",
            "\t",
            "- ",
            "1. ",
        ),
        *(
            "javascript:",
            "JaVaScRiPt:",
            "data:text/html,",
            "vbscript:",
            "file:///etc",
            "//evil.example",
            "/x",
        ),
        *(
            "https://e.example/",
            "http://",
            "mailto:a@b.c",
            "&#106;avascript:",
            "&Tab;",
            "&colon;",
            "\\",
            "\x00",
        ),
        *(
            "[ref]: ",
            "[ref]",
            "[a]: <javascript:1>\n",
            "<!--",
            "-->",
            "<?x",
            "]]>",
            "&lt;script&gt;",
            "\u202e",
        ),
        *(
            "# ",
            "> ",
            "***",
            "|a|b|\n|-|-|\n",
            "\u2028",
            "onclick=",
            "style=",
            "<https://x.example/ onclick=1>",
        ),
    ]
)


@given(st.lists(st.one_of(PARTS, st.text(max_size=8)), max_size=30).map("".join))
def test_nothing_that_comes_out_runs_loads_or_leads_astray(body: str) -> None:
    assert harm_in(body) == []
    assert harm_in(f"[x]({body})") == []
    assert harm_in(f"[r]\n\n[r]: {body}") == []
    assert "\x00" not in text_of(body)


@given(st.text(st.characters(exclude_categories=("C",), exclude_characters="\u2028\u2029"), max_size=60))
def test_what_is_taken_literally_is_shown_as_it_is(text: str) -> None:
    line = " ".join(text.split())
    reader = Reader()
    reader.feed(html_of(f"x {literally(line)} x"))
    assert " ".join(reader.text.split()) == f"x {line} x".replace("  ", " ")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("**It** is *slow*.", "<p><strong>It</strong> is <em>slow</em>.</p>\n"),
        ("# Big", "<h4>Big</h4>\n"),
        ("###### Small", "<h6>Small</h6>\n"),
        ("<b>x</b>", "<p>&lt;b&gt;x&lt;/b&gt;</p>\n"),
        ("[a](javascript:alert)", "<p>[a](javascript:alert)</p>\n"),
        ("[a](/admin)", "<p>[a](/admin)</p>\n"),
        (
            "[a](https://e.org/?x=1&y=2)",
            '<p><a href="https://e.org/?x=1&amp;y=2" rel="nofollow noopener">a</a></p>\n',
        ),
        ("https://e.org", "<p>https://e.org</p>\n"),
        ('```js" onload="x\na < b\n```', "<pre><code>a &lt; b\n</code></pre>\n"),
    ],
)
def test_the_subset(body: str, expected: str) -> None:
    assert html_of(body) == expected


def test_plain_text_keeps_what_matters() -> None:
    body = (
        "# Now\n\nIt is **slow**, see [the list](https://e.org/a) or <https://e.org/b>.\n\n"
        "- one\n- two\n  1. inner\n\n> said\n\n```\ncode\n```\n"
    )
    assert text_of(body) == (
        "Now\n\nIt is slow, see the list (https://e.org/a) or https://e.org/b.\n\n"
        "- one\n- two\n  1. inner\n\n> said\n\ncode"
    )


@pytest.mark.parametrize("char", ["[", "> ", "*", "`", "- ", "<", "![", "_a", "\\", "&"])
def test_any_length_and_depth_ends(char: str) -> None:
    body = char * (2 * LONGEST_BODY // len(char))
    assert harm_in(body) == []
    assert len(text_of(body)) <= 3 * LONGEST_BODY
