"""How many bytes, for people."""

_UNITS = ("B", "kB", "MB", "GB", "TB")


def size_text(count: int) -> str:
    """A size in powers of 1000: `1.7 GB`."""
    size = float(count)
    for unit in _UNITS:
        if size < 1000 or unit == _UNITS[-1]:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError
