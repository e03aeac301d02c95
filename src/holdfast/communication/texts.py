"""Titles and bodies as people give them, made into what every store, mail and page can hold. Pure."""

import re

from holdfast.communication.errors import NotPossible
from holdfast.communication.model import LONGEST_BODY, LONGEST_TITLE

# Control characters but tab and line feed, halves of surrogate pairs, and the marks that turn the direction
# of text round: with them a line reads otherwise than it is written.
_UNFIT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069\ufffe\uffff]")
_MARKS = frozenset("\\`*_[]<>&")
_BLANKS = re.compile(r"\s+")


def title_of(text: str) -> str:
    """`text` as a title: one line without needless blanks. Raises NotPossible for none and for a long one."""
    title = _BLANKS.sub(" ", _UNFIT.sub("", text.replace("\r", " "))).strip()
    if not title:
        raise NotPossible("a title is needed", hint="say in a few words what is wrong, as readers see it")
    if len(title) > LONGEST_TITLE:
        raise NotPossible(f"the title has {len(title)} characters", hint=f"at most {LONGEST_TITLE}")
    return title


def body_of(text: str) -> str:
    """`text` as a body: Markdown with line feeds alone. Raises NotPossible for none and for a long one."""
    if len(text) > 2 * LONGEST_BODY:
        raise _too_long(len(text))
    body = _UNFIT.sub("", text.replace("\r\n", "\n").replace("\r", "\n")).strip()
    if not body:
        raise NotPossible("a text is needed", hint="say what is known, what is done, and when you say more")
    if len(body) > LONGEST_BODY:
        raise _too_long(len(body))
    return body


def literally(text: str) -> str:
    """`text`, one line of it, in Markdown that shows it as it is."""
    return "".join(f"\\{char}" if char in _MARKS else char for char in text)


def _too_long(length: int) -> NotPossible:
    return NotPossible(f"the text has {length} characters", hint=f"at most {LONGEST_BODY}")
