"""Who is behind a name in the journal, where people must be told apart. Pure."""

import re

_COMMAND_LINE = re.compile(r"command line \((.+)\)")


def person_of(actor: str) -> str:
    """`ada` is one person in the console and on the command line, however it is written."""
    match = _COMMAND_LINE.fullmatch(actor)
    return (match[1] if match else actor).strip().casefold()
