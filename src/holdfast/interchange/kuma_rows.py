"""The cells of Uptime Kuma's rows. SQLite lets any value into any column, and old versions lack columns."""

from collections.abc import Mapping

Row = Mapping[str, object]


def type_of(row: Row) -> str:
    return text_of(row, "type").strip().lower()


def text_of(row: Row, column: str) -> str:
    value = row.get(column)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return "" if value is None else str(value)


def whole_of(row: Row, column: str, otherwise: int) -> int:
    """SQLite lets any value into any column; what is no number is as good as missing."""
    try:
        return int(float(text_of(row, column)))
    except (ValueError, OverflowError):
        return otherwise


def number_of(row: Row, column: str) -> float:
    try:
        value = float(text_of(row, column))
    except ValueError:
        return 0.0
    return value if 0 < value < 1e7 else 0.0


def is_true(row: Row, column: str, *, otherwise: bool = False) -> bool:
    text = text_of(row, column).strip().lower()
    if text == "":
        return otherwise
    return text not in ("0", "0.0", "false", "null")
