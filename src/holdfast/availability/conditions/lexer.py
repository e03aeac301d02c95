"""Text into tokens, each with its position."""

import re
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto

from holdfast.availability.errors import ConditionError
from holdfast.kernel.durations import parse_duration


class Token(Enum):
    NAME = auto()
    LITERAL = auto()
    SYMBOL = auto()
    END = auto()


@dataclass(frozen=True, slots=True)
class Lexeme:
    """A token with its text as written, its value when it is a literal, and where it begins."""

    token: Token
    text: str
    position: int
    value: object = None

    def is_(self, text: str) -> bool:
        return self.text == text and self.token in (Token.NAME, Token.SYMBOL)


_DURATION = r"-?(?:[0-9]{1,9}(?:\.[0-9]{1,6})?(?:ms|s|m|h|d|w))+"
_LEXEME = re.compile(
    rf"""(?P<space>\s+)
    |(?P<duration>{_DURATION})(?![A-Za-z0-9_])
    |(?P<number>-?[0-9]{{1,30}}(?:\.[0-9]{{1,30}})?)(?![A-Za-z0-9_])
    |(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<symbol>==|!=|<=|>=|<|>|\.\.|[(),])""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {'"': '"', "'": "'", "\\": "\\", "n": "\n", "r": "\r", "t": "\t"}
_WORDS = {"true": True, "false": False, "null": None}
_HABITS = {
    "=": "compare with ==",
    "&": "write `and`",
    "|": "write `or`",
    "!": "write `not`, or != to compare",
    "~": "write `matches`",
    '"': "the text has no closing quote",
    "'": "the text has no closing quote",
}
_LONGEST = 1_000


def lex(text: str) -> list[Lexeme]:
    """The tokens of `text`, ended by one of `Token.END`. Raises ConditionError at what is none."""
    if len(text) > _LONGEST:
        raise ConditionError(f"a condition has at most {_LONGEST} characters", position=_LONGEST)
    lexemes: list[Lexeme] = []
    position = 0
    while position < len(text):
        match = _LEXEME.match(text, position)
        if match is None:
            raise _unreadable(text, position)
        if match.lastgroup != "space":
            lexemes.append(_lexeme(match.lastgroup or "", match[0], position))
        position = match.end()
    lexemes.append(Lexeme(Token.END, "the end", position))
    return lexemes


def _lexeme(group: str, text: str, position: int) -> Lexeme:
    match group:
        case "duration":
            return Lexeme(Token.LITERAL, text, position, _duration(text, position))
        case "number":
            return Lexeme(Token.LITERAL, text, position, float(text) if "." in text else int(text))
        case "text":
            return Lexeme(Token.LITERAL, text, position, _ESCAPE.sub(_unescaped, text[1:-1]))
        case "name" if text in _WORDS:
            return Lexeme(Token.LITERAL, text, position, _WORDS[text])
        case "name":
            return Lexeme(Token.NAME, text, position)
        case _:
            return Lexeme(Token.SYMBOL, text, position)


def _unescaped(match: re.Match[str]) -> str:
    """An unknown escape stays as it is, so that a regular expression needs no second backslash."""
    return _ESCAPES.get(match[1], match[0])


def _duration(text: str, position: int) -> timedelta:
    try:
        duration = parse_duration(text.removeprefix("-"))
    except OverflowError as error:
        raise ConditionError(f"{text} is longer than any duration", position=position) from error
    return -duration if text.startswith("-") else duration


def _unreadable(text: str, position: int) -> ConditionError:
    character = text[position]
    if character.isdigit() or character == "-":
        word = re.match(r"\S{1,20}", text[position:])
        return ConditionError(
            f"{word[0] if word else character} is neither a number nor a duration",
            position=position,
            hint="durations are written 500ms, 10s, 5m, 1h30m or 14d",
        )
    return ConditionError(
        f"unexpected {character!r}", position=position, hint=_HABITS.get(character, "text stands in quotes")
    )
