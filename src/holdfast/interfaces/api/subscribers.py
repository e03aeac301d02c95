"""`/subscribers` and `/journal`: who is told, and who did what.

No address of a subscriber is ever answered: nothing here can read one.
"""

from collections.abc import Mapping
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field

from holdfast.communication.model import Channel, Standing, Subscription, Topic
from holdfast.identity.model import Recorded
from holdfast.interfaces.api.callers import Auditor, Served, SubscriberReader, SubscriberRemover
from holdfast.interfaces.api.paging import Cursor, Limit, no_cursor, page_of, read, written
from holdfast.interfaces.api.problems import NOT_FOUND, Problem, described
from holdfast.interfaces.api.shapes.common import Concerned, concerned
from holdfast.interfaces.api.words import LATEST, Told
from holdfast.kernel.journal import JournalEntry
from holdfast.kernel.windows import MICROSECOND

MOST_LISTED = 10_000
SubscriberId = Annotated[UUID, Path(description="a UUID", examples=["0b1f9c2e-6a57-4a3e-9d7e-0d3f5c1e8a42"])]

router = APIRouter()


class SubscriberTold(BaseModel):
    """A subscription, without the address that it leads to."""

    id: str
    channel: Channel
    language: str
    standing: Standing
    topics: list[Topic]
    components: list[Concerned] = Field(description="with `clusters` empty too: everything")
    clusters: list[str]
    customer: str | None = Field(description="the customer on whose private page it was made")
    created_at: Told
    confirmed_at: Told | None
    failing_since: Told | None
    paused_at: Told | None


class SubscriberPage(BaseModel):
    """Subscriptions that have not ended, newest first."""

    items: list[SubscriberTold]
    next: str | None


class CountTold(BaseModel):
    """How many subscriptions of one channel are in one standing."""

    channel: Channel
    standing: Standing
    count: int = Field(ge=0)


class CountsTold(BaseModel):
    """How many subscribers there are."""

    items: list[CountTold]


@router.get("/subscribers", operation_id="listSubscribers", tags=["subscribers"], responses=described())
async def list_subscribers(
    services: Served,
    _: SubscriberReader,
    standing: Annotated[Standing | None, Query(description="those that are in this standing")] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> SubscriberPage:
    """Subscriptions, newest first, without their addresses; of the newest ten thousand."""
    wanted = () if standing is None else (standing,)
    found = await services.subscriptions.subscriptions(standings=wanted, limit=MOST_LISTED)
    page, following = page_of(sorted(found, key=_place), _place, cursor, limit)
    directory = services.directory()
    items = [
        SubscriberTold(
            id=each.id,
            channel=each.channel,
            language=each.language,
            standing=each.standing,
            topics=sorted(each.scope.topics),
            components=concerned(each.scope.component_ids, directory),
            clusters=sorted(each.scope.cluster_keys),
            customer=each.customer,
            created_at=each.created_at,
            confirmed_at=each.confirmed_at,
            failing_since=each.failing_since,
            paused_at=each.paused_at,
        )
        for each in page
    ]
    return SubscriberPage(items=items, next=following)


def _place(subscription: Subscription) -> str:
    """Grows the longer ago it was made."""
    return f"{(LATEST - subscription.created_at) // MICROSECOND:020d}{subscription.id}"


@router.get(
    "/subscribers/counts", operation_id="countSubscribers", tags=["subscribers"], responses=described()
)
async def count_subscribers(services: Served, _: SubscriberReader) -> CountsTold:
    """How many subscribers there are, by channel and standing."""
    counts: Mapping[tuple[Channel, Standing], int] = await services.subscriptions.counts()
    return CountsTold(
        items=[
            CountTold(channel=channel, standing=standing, count=count)
            for (channel, standing), count in sorted(counts.items())
        ]
    )


class WaitingTold(BaseModel):
    """What of one channel is not delivered yet."""

    channel: Channel
    deliveries: int = Field(ge=1)
    oldest: Told = Field(description="when the oldest of them was queued")
    last_error: str = Field(description="why one of them was not delivered; empty: none has failed yet")


class WaitingOfChannels(BaseModel):
    """What is not delivered yet; a channel that nothing waits for is left out."""

    items: list[WaitingTold]


@router.get("/subscribers/waiting", operation_id="listWaiting", tags=["subscribers"], responses=described())
async def list_waiting(services: Served, _: SubscriberReader) -> WaitingOfChannels:
    """What is not delivered yet, by channel."""
    return WaitingOfChannels(
        items=[
            WaitingTold(
                channel=each.channel,
                deliveries=each.deliveries,
                oldest=each.oldest,
                last_error=each.last_error,
            )
            for each in await services.waiting()
        ]
    )


@router.delete(
    "/subscribers/{subscriber_id}", operation_id="removeSubscriber", tags=["subscribers"], status_code=204,
    responses=described(NOT_FOUND),
)  # fmt: skip
async def remove_subscriber(
    services: Served, actor: SubscriberRemover, subscriber_id: SubscriberId
) -> Response:
    """End a subscription and erase its address. It is not told; making it again needs a confirmation."""
    found = str(subscriber_id)
    if await services.subscriptions.subscription(found) is None:
        raise Problem(NOT_FOUND, f"there is no subscription {found}", hint="see GET /subscribers")
    # Before, and not after: a removal that nobody answers for must not be.
    facts = {"subscription": found}
    now = services.clock.now()
    await services.journal.append(JournalEntry(now, actor.name, "subscription.removed", facts))
    await services.subscriptions.end(found)
    return Response(status_code=204)


class EntryTold(BaseModel):
    """One line of the audit trail."""

    id: int
    at: Told
    actor: str
    event: str = Field(examples=["incident.declared"])
    facts: dict[str, Any]

    @classmethod
    def of(cls, recorded: Recorded) -> "EntryTold":
        return cls(
            id=recorded.id,
            at=recorded.at,
            actor=recorded.actor,
            event=recorded.event,
            facts=dict(recorded.facts),
        )


class EntryPage(BaseModel):
    """Lines of the audit trail, newest first."""

    items: list[EntryTold]
    next: str | None


@router.get("/journal", operation_id="listJournal", tags=["journal"], responses=described())
async def list_journal(
    services: Served,
    _: Auditor,
    actor: Annotated[str, Query(max_length=100, pattern=r"^[ -~]*$", description="what this one did")] = "",
    event: Annotated[
        str,
        Query(
            max_length=60,
            pattern=r"^[a-z_.]*$",
            description="an event, or the beginning of several",
            examples=["incident."],
        ),
    ] = "",
    cursor: Cursor = None,
    limit: Limit = 50,
) -> EntryPage:
    """Who did what, newest first."""
    before = None if cursor is None else _id(read(cursor))
    found = await services.trail.entries(before=before, actor=actor, event=event, limit=limit + 1)
    page = found[:limit]
    following = written(str(page[-1].id)) if len(found) > limit else None
    return EntryPage(items=[EntryTold.of(each) for each in page], next=following)


def _id(text: str) -> int:
    if not text.isdigit() or len(text) > 18:
        raise no_cursor()
    return int(text)
