"""Who is told, in numbers and without addresses, and what is still on its way to them."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response

from holdfast.communication.delivering import Waiting
from holdfast.communication.directory import Directory
from holdfast.communication.model import Channel, Scope, Standing, Subscription
from holdfast.identity.model import Right
from holdfast.interfaces.console.shell import ConsolePage, actor_of, check_right, page, redirect, shell_of
from holdfast.kernel.journal import Journal, JournalEntry

NEWEST = 200


class Subscribers(Protocol):
    """What the console may know of subscriptions. No address is ever in it."""

    async def counts(self) -> Mapping[tuple[Channel, Standing], int]: ...

    async def subscriptions(
        self, *, standings: Collection[Standing] = (), limit: int = 200
    ) -> Sequence[Subscription]: ...

    async def end(self, subscription_id: str) -> bool: ...


class SubscriberPages:
    """The pages over `Subscribers`. `waiting` tells what is not delivered yet."""

    def __init__(
        self,
        subscribers: Subscribers,
        waiting: Callable[[], Awaitable[Sequence[Waiting]]],
        directory: Callable[[], Directory],
        journal: Journal,
    ) -> None:
        self._subscribers = subscribers
        self._waiting = waiting
        self._directory = directory
        self._journal = journal

    def pages(self) -> Sequence[ConsolePage]:
        return [
            ConsolePage(
                "/subscribers",
                self.listed,
                Right.SUBSCRIBERS,
                title="Subscribers",
                about="Who is told, and what is on its way.",
            ),
            ConsolePage("/subscribers/{subscription_id}/end", self.end, Right.SUBSCRIBERS, methods=("POST",)),
        ]

    async def listed(self, request: Request) -> Response:
        counts = await self._subscribers.counts()
        return page(
            request,
            "subscribers.html",
            title="Subscribers",
            channels=[(each, {s: counts.get((each, s), 0) for s in Standing}) for each in Channel],
            standings=(Standing.ACTIVE, Standing.PENDING, Standing.PAUSED),
            waiting=await self._waiting(),
            newest=await self._subscribers.subscriptions(limit=NEWEST),
            most=NEWEST,
            scope_text=self._scope,
        )

    async def end(self, request: Request) -> Response:
        """End one, as when its owner asks by telephone. Its address is erased."""
        check_right(request, Right.OPERATE)
        subscription_id = request.path_params["subscription_id"]
        ended = await self._subscribers.end(subscription_id)
        if not ended:
            return redirect(request, "/subscribers", told="It had ended before.", trouble=True)
        facts = {"subscription": subscription_id}
        now = shell_of(request).clock.now()
        await self._journal.append(JournalEntry(now, actor_of(request).name, "subscription.ended", facts))
        return redirect(request, "/subscribers", told="It is ended, and its address erased.")

    def _scope(self, scope: Scope) -> str:
        directory = self._directory()
        names = [place.full_name for place in directory.places_of(scope.component_ids).values()]
        names += sorted(scope.cluster_keys)
        return ", ".join(names)
