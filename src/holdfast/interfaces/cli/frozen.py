"""Frozen months, for people and for programs."""

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

import typer

from holdfast.availability.freezing import FrozenMonth
from holdfast.availability.months import Verified
from holdfast.interfaces.cli.output import print_table


def row_as_plain(row: FrozenMonth) -> dict[str, Any]:
    """A row for programs. Lengths are in microseconds, as they were frozen."""
    return {
        "id": row.id,
        "agreement": row.agreement,
        "month": row.month,
        "from": row.window.start,
        "to": row.window.end,
        "frozen_at": row.frozen_at,
        "formula": row.formula,
        "terms": row.terms,
        "figures": row.figures,
        "intervals_sha256": row.intervals_sha256,
        "corrects": row.corrects,
    }


def print_chain(newest_first: Sequence[FrozenMonth]) -> None:
    """What was frozen of one month, with the figures that each correction replaced."""
    for row, corrected in zip_longest(newest_first, newest_first[1:]):
        typer.echo(
            f"frozen on {row.frozen_at:%Y-%m-%d %H:%M}Z: {_percent(row)}, SHA-256 {row.intervals_sha256}"
        )
        if corrected is not None:
            typer.echo(f"  corrects the {_percent(corrected)} of {corrected.frozen_at:%Y-%m-%d %H:%M}Z")


def verified_as_plain(found: Sequence[Verified]) -> dict[str, Any]:
    """The result for programs."""
    return {
        "sound": all(each.is_sound for each in found),
        "months": [
            {
                **row_as_plain(each.row),
                "matches": each.matches,
                "corrected": each.corrected,
                "recomputed": {
                    "intervals_sha256": each.recomputed.month.intervals_sha256,
                    "figures": each.recomputed.month.figures,
                },
            }
            for each in found
        ],
    }


def print_verified(found: Sequence[Verified]) -> None:
    """One line for each row, and for people a sentence about all of them."""
    if not found:
        typer.echo("no month is frozen yet: the first one is 15 minutes after its end")
        return
    rows = [
        (
            each.row.agreement,
            each.row.month,
            _percent(each.row),
            each.row.intervals_sha256[:16],
            _verdict(each),
        )
        for each in found
    ]
    print_table(dict.fromkeys(("agreement", "month", "availability", "SHA-256", "verdict"), "left"), rows)
    wrong = sum(not each.is_sound for each in found)
    typer.echo(
        f"{wrong} of {len(found)} do NOT match" if wrong else f"all {len(found)} match or were corrected"
    )


def _verdict(each: Verified) -> str:
    if each.matches:
        return "matches"
    return "was corrected" if each.corrected else "DOES NOT MATCH"


def _percent(row: FrozenMonth) -> str:
    percent = row.figures["total"]["availability_percent"]
    text = "no figure" if percent is None else f"{percent} %"
    return f"{text} (sample)" if row.figures["sample"] else text
