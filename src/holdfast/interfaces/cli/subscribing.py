"""What `holdfast subscriber` shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from holdfast.communication.delivering import Waiting
    from holdfast.communication.model import Channel, Standing, Subscription


@dataclass(frozen=True, slots=True)
class Subscriber:
    """A subscription, with as much of its address as an operator needs to recognise it."""

    subscription: Subscription
    address: str


@dataclass(frozen=True, slots=True)
class SubscriberCounts:
    """How many there are, and what of their messages is not delivered yet."""

    counts: Mapping[tuple[Channel, Standing], int]
    waiting: Sequence[Waiting]
