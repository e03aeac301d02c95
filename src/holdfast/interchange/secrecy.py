"""What looks like a secret. In doubt it is one: a needless reference costs a line, a leak the secret."""

import re
from urllib.parse import parse_qsl, urlsplit

_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", "x-api-key"})
_WORDS = re.compile(
    r"(?:^|[^a-z])(?:token|secret|passw(?:or)?d|passwd|pwd|pass|apikey|key|auth|authorization|session|signature"
    r"|sig|credentials?|jwt|bearer|access)(?:$|[^a-z])|apikey|passwor[dt]|secret|token"
)
_IN_BODY = re.compile(
    r"(?:passw(?:or)?d|passwd|secret|token|api[_-]?key|credential|private[_-]?key|bearer)[\"']?\s*[=:>]",
    re.IGNORECASE,
)


def is_secret_header(name: str) -> bool:
    """Whether a header of that name is likely to carry a secret."""
    folded = name.strip().lower()
    return folded in _HEADERS or _WORDS.search(folded) is not None


def secret_parameter(url: str) -> str | None:
    """The first query parameter of `url` that looks like a secret, by its name."""
    try:
        query = urlsplit(url).query
        parameters = parse_qsl(query, keep_blank_values=True, max_num_fields=200)
    except ValueError:
        return "the query"
    for name, value in parameters:
        if value and _WORDS.search(name.lower()):
            return name
    return None


def holds_secret(body: str) -> bool:
    """Whether a body names something like a password."""
    return _IN_BODY.search(body) is not None


def without_login(url: str) -> tuple[str, bool]:
    """`url` without user name and password, and whether it had any."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return url, False
    end = min((rest.find(mark) for mark in "/?#" if mark in rest), default=len(rest))
    login, at, host = rest[:end].rpartition("@")
    return (f"{scheme}://{host}{rest[end:]}", True) if at and login is not None else (url, False)
