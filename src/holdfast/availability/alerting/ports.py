"""What alerting needs from outside. Adapters provide it; the fakes obey the same contract tests."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from holdfast.availability.alerting.model import (
    Alert,
    Board,
    Delivery,
    Message,
    Outcome,
    Round,
    Silence,
    Waiting,
)


class AlertStore(Protocol):
    """What is open, and who was told."""

    async def board(self) -> Board:
        """Everything that a round of decisions begins with, as of one moment."""
        ...

    async def record(self, version: int, decided: Round) -> bool:
        """Store what was decided on the board of that version, and queue its messages, in one transaction.

        False, and nothing stored, when somebody else recorded since: the decision was made on an old board.
        """
        ...

    async def alerts(self, limit: int) -> Sequence[Alert]:
        """The newest alerts, open or ended, newest first."""
        ...

    async def prune(self, before: datetime) -> int:
        """Forget ended alerts, silences and finished messages from before then; returns how many rows."""
        ...


class SilenceStore(Protocol):
    """Where operators ask to be left alone. Times are the database's."""

    async def silence(self, pattern: str, lasting: timedelta, reason: str, actor: str) -> Silence: ...

    async def silences(self) -> Sequence[Silence]:
        """Those in force, the first to end first."""
        ...

    async def expire(self, silence_id: int, actor: str) -> bool:
        """End it now; False when there is none in force."""
        ...


class Outbox(Protocol):
    """Messages on their way. Each is sent at least once; a lease keeps two from sending it at once."""

    async def claim(self, limit: int, lease: timedelta, busy: Collection[str]) -> Sequence[Delivery]:
        """Take up to `limit` messages that are due, for the length of `lease`; none of the `busy` channels.

        At most one for each channel: and of one channel and group the oldest first, so that an end is never
        told before its beginning. After the lease they are due again, whatever became of who took them.
        """
        ...

    async def sent(self, delivery: Delivery) -> None:
        """It was delivered. Repeating it changes nothing."""
        ...

    async def failed(self, delivery: Delivery, error: str, again_in: timedelta | None) -> None:
        """It was not delivered; try again after `again_in`, or never. Ignored when the lease is lost."""
        ...

    async def waiting(self) -> Sequence[Waiting]:
        """What is not delivered yet, by channel."""
        ...


class Notifier(Protocol):
    """Sends one message to one channel.

    Never raises for anything that the channel does. Ends within a bounded time, whatever the other side does,
    and never delays a message to another channel. What it says holds nothing of the channel's URL.
    """

    async def send(self, channel: str, message: Message) -> Outcome: ...
