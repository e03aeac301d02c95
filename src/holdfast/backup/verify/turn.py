"""Whether a region's copy is to be verified again. Pure.

Once in so long; sooner after one that proved nothing (the region was away, a check took too long), with
pauses that grow: an hour, two hours, four.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from holdfast.backup.verify.verification import Standing, Verification
from holdfast.backup.verify.verified_points import Which

AGAIN_AFTER = timedelta(hours=1)


def is_due(records: Iterable[Verification], region: str, every: timedelta, now: datetime) -> bool:
    """By the records of what was verified within `every`, of any region.

    Those from the future are of a clock that was wrong, or forged: with them it would never be time.
    """
    own = sorted(
        (
            each
            for each in records
            if each.region == region and each.which is Which.NEWEST and now - every < each.started_at <= now
        ),
        key=lambda each: (each.started_at, each.id),
        reverse=True,
    )
    if not own:
        return True
    unproven = next(
        (number for number, each in enumerate(own) if each.standing is not Standing.UNPROVEN), len(own)
    )
    if not unproven:
        return False
    return now - own[0].started_at >= min(AGAIN_AFTER * (1 << min(unproven - 1, 20)), every)
