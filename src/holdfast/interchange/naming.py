"""Names for people and keys for files, made from whatever another tool allowed."""

import re
import unicodedata
from collections.abc import Callable

from holdfast.interchange.lines import one_line

LONGEST_KEY = 63
LONGEST_NAME = 100
_NOT_KEY = re.compile(r"[^a-z0-9]+")
_LETTERS = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "æ": "ae", "ø": "oe", "å": "aa", "&": " and "}
)
_NOT_VARIABLE = re.compile(r"[^A-Z0-9]+")


def slug(text: str, otherwise: str) -> str:
    """A key that reads like `text`; `otherwise`, itself a key, when nothing of it can stand in one."""
    folded = unicodedata.normalize("NFKD", text[:1000].lower().translate(_LETTERS))
    plain = folded.encode("ascii", "ignore").decode("ascii")
    return _NOT_KEY.sub("-", plain).strip("-")[:LONGEST_KEY].strip("-") or otherwise


def unique(key: str, taken: Callable[[str], bool]) -> str:
    """`key`, or `key-2`, `key-3`, ...: the first that is not taken."""
    candidate, count = key, 1
    while taken(candidate):
        count += 1
        suffix = f"-{count}"
        candidate = key[: LONGEST_KEY - len(suffix)].rstrip("-") + suffix
    return candidate


def clean_name(text: object, otherwise: str) -> str:
    """A name for people: one line, at most 100 characters, never empty."""
    return (one_line(text, LONGEST_NAME) if isinstance(text, str) else "") or otherwise


def variable(*parts: str) -> str:
    """The name of an environment variable, such as `KUMA_API_AUTHORIZATION`."""
    return "_".join(_NOT_VARIABLE.sub("_", slug(part, "x").upper()) for part in parts if part)[:120].strip(
        "_"
    )
