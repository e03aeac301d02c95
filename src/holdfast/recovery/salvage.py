"""How damaged rows are told from good ones, and how each table is put back. Pure.

Each row of the last good copy is compared with the row of the same key in production:

    the same                                 nothing to do
    other, written by a bad transaction      damaged: put back
    other, written by another one            changed later: kept, and told, since somebody may have meant it
    not there any more                       gone: put back; a row that was deleted on purpose comes back too
    only in production                       new: kept

So whatever was written after the damage stays, but for rows that the damage wrote. Where rows cannot be told
apart like that (no key, or it is not known which transaction did it) all rows of the table are replaced, and
those that are new are put in again. A table that is gone is made again.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

from msgspec import Struct

from holdfast.recovery.errors import Refused


class Way(StrEnum):
    """How a table is put back."""

    ROWS = "rows"
    """Those that are damaged or gone."""
    REPLACE = "replace"
    """All of them; then the new ones again."""
    CREATE = "create"
    """It is not there: made as it was."""
    NOTHING = "nothing"
    """It is as it was."""


class Compared(Struct, frozen=True, kw_only=True):
    """A table in production beside its last good copy, in rows. None: they could not be told apart."""

    table: str
    """With its schema."""
    good: int
    """Rows of the copy."""
    is_there: bool = True
    has_key: bool = True
    damaged: int | None = None
    later: int | None = None
    gone: int | None = None
    new: int | None = None

    @property
    def differs(self) -> bool:
        counts = (self.damaged, self.later, self.gone, self.new)
        return any(each is None or each > 0 for each in counts)


def way_for(table: Compared, *, replace: bool = False) -> Way:
    """How to put it back; `replace` when somebody wants all rows as they were."""
    if not table.is_there:
        return Way.CREATE
    if not table.differs:
        return Way.NOTHING
    if not table.has_key or table.damaged is None:
        return Way.REPLACE
    if replace:
        return Way.REPLACE
    return Way.ROWS if table.damaged or table.gone else Way.NOTHING


class Loss(Struct, frozen=True, kw_only=True):
    """What putting the tables back takes away, and what it leaves as it is."""

    back: int
    """Rows that become what they were."""
    kept: int
    """Rows written since then that stay."""
    lost: int | None
    """Changes made since then that do not stay; None is unknown."""


def loss_of(tables: Iterable[Compared], *, replace: bool = False, again: bool = True) -> Loss:
    """`again`: rows that are new since then are put in again, where all rows are replaced."""
    back = kept = 0
    lost: int | None = 0
    for each in tables:
        way = way_for(each, replace=replace)
        if way is Way.CREATE:
            back, lost = back + each.good, None
        elif way is Way.ROWS:
            back += (each.damaged or 0) + (each.gone or 0)
            kept += (each.later or 0) + (each.new or 0)
        elif way is Way.REPLACE and each.new is None:
            back, lost = back + each.good, None
        elif way is Way.REPLACE:
            back += each.good
            kept += (each.new or 0) if again else 0
            dropped = (each.later or 0) + (0 if again else each.new or 0)
            lost = None if lost is None else lost + dropped
        else:
            kept += (each.later or 0) + (each.new or 0)
    return Loss(back=back, kept=kept, lost=lost)


def told(tables: Sequence[Compared], *, replace: bool = False, again: bool = True) -> str:
    """A line for each table, for whoever approves."""
    return "\n".join(_line(each, replace=replace, again=again) for each in tables)


def _line(table: Compared, *, replace: bool, again: bool) -> str:
    match way_for(table, replace=replace):
        case Way.NOTHING:
            return f"{table.table}: as it was{_later(table)}"
        case Way.CREATE:
            lost = "what was written into it since then is lost: how much is unknown"
            return f"{table.table}: not there; made again with {_rows(table.good)}; {lost}"
        case Way.ROWS:
            back = f"{_rows(table.damaged or 0)} put back, {table.gone or 0} that are gone put in again"
            return f"{table.table}: {back}; {_rows(table.new or 0)} new since then stay{_later(table)}"
        case Way.REPLACE:
            if table.new is None:
                told_new = "which rows are new cannot be told without a key: they are lost"
            else:
                told_new = f"{_rows(table.new)} new since then {'are put in again' if again else 'are lost'}"
            changed = f"; {_rows(table.later)} changed later lose that" if table.later else ""
            return f"{table.table}: all rows replaced by the {table.good} of then; {told_new}{changed}"


def _later(table: Compared) -> str:
    return f"; {_rows(table.later)} changed later stay as they are" if table.later else ""


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"


def tables_named(text: str) -> tuple[str, ...]:
    """Names of tables by commas, each with its schema: `public` where it has none. Raises Refused."""
    names = [each.strip() for each in text.split(",") if each.strip()]
    full = tuple(each if "." in each else f"public.{each}" for each in names)
    for each in full:
        if each.count(".") != 1 or "" in each.split("."):
            raise Refused(f"{each!r} is no name of a table", hint="name it schema.table")
    return tuple(dict.fromkeys(full))


def order_of(tables: Sequence[str], refers: Mapping[str, Iterable[str]]) -> list[str]:
    """Each table behind those that its foreign keys refer to; those of a circle as they were named."""
    ordered = list[str]()
    entered = set[str]()

    def visit(table: str) -> None:
        if table in entered:
            return
        entered.add(table)
        for other in sorted(refers.get(table, ())):
            if other in tables:
                visit(other)
        ordered.append(table)

    for each in tables:
        visit(each)
    return ordered
