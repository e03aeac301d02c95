"""Which passwords will do, and which names. Pure.

Length counts, and not being guessed at once (NIST SP 800-63B, 5.1.1.2): no rules about kinds of characters,
no expiry.
"""

import re
import unicodedata
from itertools import pairwise

SHORTEST = 12
LONGEST = 256
NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,99}")

# What is left of a common password when its digits and signs at the ends, and its leetspeak, are taken away.
_COMMON = frozenset(
    """
    password passwort passphrase kennwort geheim secret qwerty qwertz qwertyuiop qwertzuiop asdfgh asdfghjkl
    zxcvbnm yxcvbnm letmein welcome willkommen iloveyou administrator admin superuser root monkey dragon
    football baseball sunshine princess master login abc abcdef abcdefghijkl holdfast changeme default test
    testtest trustno hallo hello computer internet summer winter spring autumn sommer herbst service status
    operator company firma server console
    """.split()  # noqa: SIM905  eighty words are easier to read without their quotes
)
_LEET = str.maketrans("013457@$!", "oleastasi")


def prepared(password: str) -> str:
    """The same characters however a keyboard composes them (RFC 8265: NFC)."""
    return unicodedata.normalize("NFC", password)


def has_bytes(text: str) -> bool:
    """False for half a character, as a broken client may send it: no password has one."""
    return not any(0xD800 <= ord(each) <= 0xDFFF for each in text)


def trouble_with(password: str, name: str, full_name: str = "") -> str | None:
    """Why that password will not do, in words for who chose it; None when it will."""
    if len(password) < SHORTEST:
        return f"a password has at least {SHORTEST} characters"
    if len(password) > LONGEST:
        return f"a password has at most {LONGEST} characters"
    if any(unicodedata.category(each) in {"Cc", "Cs"} for each in password):
        return "a password has no control characters"
    folded = password.casefold()
    if _is_monotonous(folded):
        return "this password repeats, or counts up; four words that do not belong together are better"
    plain = re.sub(r"[\W\d_]+", "", folded)
    inner = re.sub(r"^[\W\d_]+|[\W\d_]+$", "", folded).translate(_LEET)
    if any(_consists_of(each, word) for each in (plain, re.sub(r"[\W\d_]+", "", inner)) for word in _COMMON):
        return "this password is among the first that are tried; four words are better"
    own = {part for part in re.split(r"[\W_]+", f"{name} {full_name}".casefold()) if len(part) >= 3}
    rest = folded
    for part in sorted(own, key=len, reverse=True):
        rest = rest.replace(part, "")
    if rest != folded and len(rest) < SHORTEST - 4:
        return "this password is little more than the name"
    return None


def name_of(typed: str) -> str | None:
    """An account's name as it is kept; None for what can be none."""
    name = unicodedata.normalize("NFKC", typed).strip().lower()
    return name if NAME.fullmatch(name) else None


def _is_monotonous(text: str) -> bool:
    """Few different characters, one piece again and again, or neighbours in a row."""
    if len(set(text)) <= 3:
        return True
    if any(text == (text[:size] * len(text))[: len(text)] for size in range(1, len(text) // 2 + 1)):
        return True
    # In tens, so that a nought after a nine is the next one.
    size = 10 if text.isdecimal() else 0x110000
    steps = {(ord(after) - ord(before)) % size for before, after in pairwise(text)}
    return len(steps) == 1


def _consists_of(text: str, word: str) -> bool:
    """`text` is that word, once or more, with at most two letters besides."""
    return len(text.replace(word, "")) <= 2 and word in text
