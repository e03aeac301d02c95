"""Text of a source, made fit to be shown in a line."""

_SHORT = 80


def one_line(text: str, longest: int) -> str:
    """`text` as one printable line. What cannot be printed (line ends, terminal codes) becomes a space."""
    head = text[: longest * 2]
    cleaned = " ".join("".join(char if char.isprintable() else " " for char in head).split())
    return cleaned if len(cleaned) <= longest else cleaned[: longest - 3].rstrip() + "..."


def shown(value: object) -> str:
    """A value of the source, short and in backticks."""
    text = value if isinstance(value, str) else str(value)[: _SHORT * 2]
    return f"`{one_line(text, _SHORT)}`"
