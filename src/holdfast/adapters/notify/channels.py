"""Notifier over Apprise: hundreds of services, each behind one URL.

Apprise is synchronous, and some services wait without end. Each message is sent on a thread of its own that
nobody has to wait for: it is given up after a time-out, and does not keep the process from ending. A channel
whose given-up threads still hang gets no more of them, so that their number is bounded; no other channel
notices.
"""

import asyncio
import contextlib
import logging
import threading
from collections import defaultdict
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING

from holdfast.adapters.notify.secrecy import without_parts_of
from holdfast.availability.alerting.model import Message, Outcome, Severity
from holdfast.availability.alerting.wording import with_key
from holdfast.availability.model import one_line
from holdfast.kernel.errors import HoldfastError, Remedy

if TYPE_CHECKING:
    from apprise import NotifyBase

TIMEOUT_S = 30.0
MOST_HANGING = 2
"""So many threads of one channel may hang; until one of them ends, the channel is not tried again."""

UrlOf = Callable[[str], str]
"""The URL of a channel, by its key. Raises HoldfastError: lasting where the estate has no such channel."""


class ChannelUnusable(HoldfastError):  # noqa: N818  a state of affairs more than an error
    """A channel's URL is none that Apprise understands. The message holds nothing of it."""

    remedy = Remedy.NEEDS_OPERATOR


class AppriseNotifier:
    """Sends to the channels whose URLs `url_of` knows; it is asked anew for each message.

    One message at a time goes to each channel, for at most `timeout_s`.
    """

    def __init__(self, url_of: UrlOf, *, timeout_s: float = TIMEOUT_S) -> None:
        self._url_of = url_of
        self._timeout_s = timeout_s
        self._turns: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._hanging: dict[str, int] = defaultdict(int)

    async def send(self, channel: str, message: Message) -> Outcome:
        """See Notifier. Cancelling it leaves a message that is under way to its thread."""
        async with self._turns[channel]:
            if self._hanging[channel] >= MOST_HANGING:
                return Outcome(ok=False, detail="earlier messages to this channel still hang")
            try:
                url = self._url_of(channel)
            except HoldfastError as error:
                lasting = error.remedy is Remedy.PERMANENT
                return Outcome(ok=False, detail=one_line(str(error)), lasting=lasting)
            return await self._in_a_thread(channel, url, message)

    async def _in_a_thread(self, channel: str, url: str, message: Message) -> Outcome:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Outcome] = loop.create_future()

        def settle(outcome: Outcome) -> None:
            self._hanging[channel] -= 1
            if not answer.done():
                answer.set_result(outcome)

        def work() -> None:
            outcome = _sent(url, message)
            # The process may be ending: then nobody waits for it.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(settle, outcome)

        self._hanging[channel] += 1
        threading.Thread(target=work, name=f"channel-{channel}", daemon=True).start()
        try:
            async with asyncio.timeout(self._timeout_s):
                return await answer
        except TimeoutError:
            return Outcome(ok=False, detail=f"no answer within {self._timeout_s:g} s")


def check_url(url: str) -> str:
    """The name of the service that `url` leads to. Raises ChannelUnusable. Connects nowhere."""
    return str(_service(url).service_name)


def _service(url: str) -> "NotifyBase":
    apprise = _apprise()
    asset = apprise.AppriseAsset(
        app_id="Holdfast",
        app_desc="Holdfast alerts",
        app_url="",
        # In the thread that calls, and without a time-out of its own: both are ours.
        async_mode=False,
        service_timeout=0,
        storage_mode=apprise.PersistentStoreMode.MEMORY,
    )
    try:
        service = apprise.Apprise.instantiate(url.strip(), asset=asset)
    except Exception as error:  # noqa: BLE001  whatever a service's parser raises may hold the URL
        raise ChannelUnusable(f"not a usable Apprise URL ({type(error).__name__})", hint=_HINT) from None
    if service is None:
        raise ChannelUnusable("not a usable Apprise URL", hint=_HINT)
    return service  # type: ignore[no-any-return]


_HINT = (
    "one URL, as https://appriseit.com/services/ describes for the service; such as mailtos://user:pw@host"
)


def _sent(url: str, message: Message) -> Outcome:
    """Send it now, on this thread. Raises nothing, whatever a service's code does."""
    try:
        service = _service(url)
    except ChannelUnusable as error:
        return Outcome(ok=False, detail=str(error))
    try:
        return _notified(service, url, message)
    except Exception as error:  # noqa: BLE001  a service's fault, told without its text
        return Outcome(ok=False, detail=f"{service.service_name}: ended by {type(error).__name__}")


def _notified(service: "NotifyBase", url: str, message: Message) -> Outcome:
    apprise = _apprise()
    notifier = apprise.Apprise(asset=service.asset)
    notifier.add(service)
    with notifier.notify(
        body=with_key(message),
        title=message.title,
        notify_type=_type_of(message),
        body_format=apprise.NotifyFormat.TEXT,
    ) as result:
        # Of a service marked as optional a failure counts as a success for Apprise, and not for us.
        delivered = bool(result) and all(any(attempts) for attempts in result)
        said = [str(entry.message) for entry in result.logs()]
    if delivered:
        return Outcome(ok=True, detail=str(service.service_name))
    reason = without_parts_of(url, "; ".join(said)) or "not delivered"
    return Outcome(ok=False, detail=one_line(f"{service.service_name}: {' '.join(reason.split())}"))


def _type_of(message: Message) -> str:
    if message.severity is None:
        return "success" if message.key else "info"
    return "failure" if message.severity is Severity.PAGE else "warning"


@cache
def _apprise() -> ModuleType:
    """Apprise, loaded when the first channel is used: it costs some 40 MB, and many estates need none.

    Its log lines, and those of the HTTP client that only it uses, may hold parts of a URL: they go into our
    outcomes, cleaned, and nowhere else.
    """
    import apprise  # noqa: PLC0415

    for name in ("apprise", "urllib3"):
        own = logging.getLogger(name)
        own.propagate = False
        own.addHandler(logging.NullHandler())
    return apprise
