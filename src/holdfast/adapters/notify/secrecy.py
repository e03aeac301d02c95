"""Takes everything that comes from a channel's URL out of a text.

Apprise's services word their failures freely, and a URL may carry its secret anywhere: as password, in the
path, as a parameter. So every part of the URL is taken out, the harmless ones too.
"""

import re
from urllib.parse import quote, quote_plus, unquote, unquote_plus

HIDDEN = "***"
SHORTEST_PART = 3
"""Shorter parts are too short to be secret, and taking them out would leave nothing to read."""
_SEPARATORS = re.compile(r"[/:@?&=,;+#\s]+")


def without_parts_of(url: str, text: str) -> str:
    """`text` with every part of `url`, as written or decoded, replaced. The scheme's name may stay."""
    scheme, _, rest = url.partition("://")
    rest = rest or scheme
    whole = {url, rest, unquote(rest)}
    parts = {part for each in whole for part in _SEPARATORS.split(each)}
    parts |= whole | {form for part in parts for form in _forms(part)}
    for part in sorted(parts, key=len, reverse=True):
        if len(part) >= SHORTEST_PART:
            text = re.sub(re.escape(part), HIDDEN, text, flags=re.IGNORECASE)
    return text


def _forms(part: str) -> set[str]:
    """The ways in which one part may be written in a message."""
    return {unquote(part), unquote_plus(part), quote(part), quote(part, safe=""), quote_plus(part)}
