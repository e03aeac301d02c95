"""The composer of all channels: each message is made by its channel's own."""

from collections.abc import Mapping

from holdfast.communication.delivering import Announcement, Composer, Message, Recipient, Request
from holdfast.communication.model import Channel, Letter


class Messages:
    """A `Composer` over one for each channel."""

    def __init__(self, by_channel: Mapping[Channel, Composer]) -> None:
        self._by_channel = by_channel

    def announced(self, announcement: Announcement, to: Recipient) -> Message:
        return self._by_channel[to.channel].announced(announcement, to)

    def requested(self, request: Request, to: Recipient) -> Message:
        return self._by_channel[to.channel].requested(request, to)

    def letter(self, letter: Letter, to: Recipient) -> Message:
        return self._by_channel[to.channel].letter(letter, to)
