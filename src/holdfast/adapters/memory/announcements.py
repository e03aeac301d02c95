"""What subscribers are told, in memory, for tests and simulation. Everything ends with the process."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from holdfast.communication.model import Audience, Notice, Standing, Subscription, Topic


@dataclass(frozen=True, slots=True)
class Announced:
    """A notice that was queued, and the subscriptions that it was queued for."""

    notice: Notice
    recipients: tuple[Subscription, ...]


class MemoryAnnouncements:
    """AudienceStore and Announcer over a list of subscriptions."""

    def __init__(self, subscriptions: Callable[[], Iterable[Subscription]] = tuple) -> None:
        self._subscriptions = subscriptions
        self.announced: list[Announced] = []

    async def audience(self, notice: Notice) -> Audience:
        return Audience(dict(Counter(each.channel for each in self._concerned(notice))))

    async def announce(self, notice: Notice) -> int:
        return self.queue(notice)

    async def degradations(self) -> Sequence[Notice]:
        newest: dict[str, Notice] = {}
        told = [each.notice for each in self.announced if each.notice.topic is Topic.DEGRADATION]
        for notice in sorted(told, key=lambda each: each.at):
            newest[notice.subject_id] = notice
        return [newest[subject] for subject in sorted(newest)]

    def queue(self, notice: Notice) -> int:
        """What `announce` does, for stores that do it with what they store."""
        key = (notice.event, notice.subject_id, notice.at)
        if any((one.notice.event, one.notice.subject_id, one.notice.at) == key for one in self.announced):
            return 0
        recipients = tuple(self._concerned(notice))
        self.announced.append(Announced(notice, recipients))
        return len(recipients)

    def _concerned(self, notice: Notice) -> list[Subscription]:
        return [each for each in self._subscriptions() if concerns(each, notice)]


def concerns(subscription: Subscription, notice: Notice) -> bool:
    """Whether that notice goes to that subscriber: what communication.audience says in SQL."""
    scope = subscription.scope
    clusters = {place.cluster_key for place in notice.places.values()}
    everything = not scope.component_ids and not scope.cluster_keys
    return (
        subscription.standing is Standing.ACTIVE
        and notice.topic in scope.topics
        and (everything or bool(scope.component_ids & notice.places.keys() or scope.cluster_keys & clusters))
        and (notice.audience is None or subscription.customer in notice.audience)
    )
