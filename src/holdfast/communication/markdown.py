"""Markdown of updates as HTML and as plain text: the safe subset that a page can hold as it is.

Paragraphs, headings, lists, quotes, rules, code, emphasis, and links to http, https and mailto. HTML in the
text is text, pictures are their links, and every link says that nobody vouches for it. What comes out needs
no further cleaning: nothing in it runs, loads or submits anything. Tables, footnotes and bare addresses that
turn into links are left out. Nesting is bounded by the parser, size by LONGEST_BODY.
"""

import html
from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

from holdfast.communication.model import LONGEST_BODY

_SCHEMES = frozenset({"http", "https", "mailto"})
_ELLIPSIS = "…"


def html_of(body: str) -> str:
    """`body` as HTML that is safe to stand in a page as it is. Longer than LONGEST_BODY, it is cut."""
    return _html_of(_bounded(body))


@lru_cache(maxsize=512)
def _html_of(body: str) -> str:
    rendered: str = _PARSER.render(body)
    return rendered


def text_of(body: str) -> str:
    """`body` as plain text: without marks, links followed by where they lead."""
    lines = _blocks(_PARSER.parse(_bounded(body)))
    return "\n".join(lines).strip("\n")


def _bounded(body: str) -> str:
    return body if len(body) <= LONGEST_BODY else body[: LONGEST_BODY - 1] + _ELLIPSIS


def _is_safe(url: str) -> bool:
    """Only whole addresses of known kinds: a relative one would lead into the page's own site."""
    if any(char <= " " or char in '"<>\\^`{|}' or not char.isprintable() for char in url):
        return False
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme.lower() in _SCHEMES and bool(parts.netloc or parts.scheme.lower() == "mailto")


class _Renderer(RendererHTML):
    """Links that vouch for nothing; headings that fit below a page's own."""

    def link_open(self, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
        del options, env
        address = html.escape(str(tokens[index].attrGet("href") or ""), quote=True)
        return f'<a href="{address}" rel="nofollow noopener">'

    def heading_open(self, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
        del options, env
        return f"<h{_level(tokens[index])}>"

    def heading_close(self, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
        del options, env
        return f"</h{_level(tokens[index])}>\n"

    def fence(self, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
        """Without the word after the fence: it would become a class of the page."""
        del options, env
        return f"<pre><code>{html.escape(tokens[index].content)}</code></pre>\n"


def _level(heading: Token) -> int:
    return min(6, int(heading.tag[1:]) + 3)


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "linkify": False}, renderer_cls=_Renderer)
    parser.disable(["image", "html_block", "html_inline"])
    parser.validateLink = _is_safe  # type: ignore[method-assign]
    return parser


_PARSER = _parser()


def _blocks(tokens: Sequence[Token]) -> list[str]:
    """Lines of text, blocks apart by an empty one; lists with their marks, quotes behind `> `."""
    lines: list[str] = []
    lists: list[int | None] = []
    quoted, mark = 0, ""
    for token in tokens:
        match token.type:
            case "bullet_list_open":
                lists.append(None)
            case "ordered_list_open":
                lists.append(int(token.attrGet("start") or 1))
            case "bullet_list_close" | "ordered_list_close":
                lists.pop()
                lines += [] if lists else [""]
            case "list_item_open":
                number = lists[-1]
                mark = "- " if number is None else f"{number}. "
                lists[-1] = None if number is None else number + 1
            case "blockquote_open" | "blockquote_close":
                quoted += 1 if token.nesting > 0 else -1
            case "inline" | "fence" | "code_block" | "hr":
                text = _inline(token.children or ()) if token.type == "inline" else token.content.rstrip("\n")
                text = "---" if token.type == "hr" else text
                indent = "> " * quoted + "  " * max(0, len(lists) - 1)
                lines += _marked(text, indent, mark, inside=bool(lists))
                mark = ""
                lines += [] if lists else [""]
            case _:
                pass
    return lines


def _marked(text: str, indent: str, mark: str, *, inside: bool) -> list[str]:
    hanging = "  " if inside else ""
    first, *rest = text.split("\n")
    return [f"{indent}{mark or hanging}{first}", *(f"{indent}{hanging}{line}" for line in rest)]


def _inline(tokens: Sequence[Token]) -> str:
    parts: list[str] = []
    links: list[tuple[str, int]] = []
    for token in tokens:
        match token.type:
            case "text" | "code_inline" | "text_special":
                parts.append(token.content)
            case "softbreak":
                parts.append(" ")
            case "hardbreak":
                parts.append("\n")
            case "link_open":
                links.append((str(token.attrGet("href") or ""), len(parts)))
            case "link_close":
                address, begin = links.pop()
                if "".join(parts[begin:]) not in (address, address.removeprefix("mailto:")):
                    parts.append(f" ({address})")
            case _:
                pass
    return "".join(parts)
