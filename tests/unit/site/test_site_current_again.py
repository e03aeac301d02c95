"""How soon the site is current again after its database was away."""

import asyncio

from site_client import running
from site_estates import NOW, FakeReader, overview

from holdfast.availability.views import Overview
from holdfast.interfaces.site.publisher import Rhythm
from holdfast.kernel.clock import ManualClock

HANGS_S = 1_000.0


class Hanging(FakeReader):
    """While it is away each reading takes long until it is given up: a server that does not answer."""

    def __init__(self, clock: ManualClock, of: Overview) -> None:
        super().__init__(of)
        self._clock = clock

    async def overview(self, *, days: int) -> Overview:
        if self.away:
            self._clock.advance(HANGS_S)
        return await super().overview(days=days)


async def test_however_long_a_database_did_not_answer_its_return_is_noticed_soon() -> None:
    clock = ManualClock(NOW)
    of = Hanging(clock, overview(10))
    async with running(of, clock=clock, rhythm=Rhythm(refresh_s=0.01, listen_again_s=3600)) as site:
        of.away = True
        async with asyncio.timeout(60):  # less than four times what a reading takes here
            while site.publisher.counts.read_failures < 2:  # noqa: ASYNC110  a counter rings no bell
                await asyncio.sleep(0.01)
            assert site.publisher.edition.away
            of.away = False
            while site.publisher.edition.away:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def test_what_a_turn_took_is_told_for_the_work_alone() -> None:
    clock = ManualClock(NOW)
    of = Hanging(clock, overview(10))
    async with running(of, clock=clock) as site:
        of.away = True
        assert await site.publisher.turn() == 0
        assert clock.monotonic() >= HANGS_S
