"""A process of its own for the conversations with the relay, so that killing the sender doubles no mail.

    sender --mails, over a pipe--> postman --SMTP--> relay
                                     | notes what was accepted, then answers

When the sender dies, however it does, the postman ends what it has begun, notes what was accepted, and goes:
within LINGER_S. The next sender waits for it, by the lock of its notes, and knows then of every mail whether
it was accepted. When the postman dies, the sender reads what it noted. Only what was accepted and not noted
at that moment, at most one mail for each connection, is sent again, under the same Message-ID (RFC 1047:
without the relay's help nobody can do better).

Run as `python -m holdfast.adapters.notify.postman`; what it needs, secrets too, comes over the pipe.
"""

import asyncio
import contextlib
import os
import signal
import sys
import time
from pathlib import Path

import msgspec
import uvloop

from holdfast.adapters.notify.accepted import AcceptedFile, locked
from holdfast.adapters.notify.mail import Conversations, Relay
from holdfast.adapters.notify.mime import Letterhead, Unfit, mail_of, usable
from holdfast.communication.delivering import Delivery, Outcome

LINGER_S = 20.0
FREE_WITHIN_S = LINGER_S + 5.0
LOOK_EVERY_S = 0.02
_LENGTH_BYTES = 4
_LONGEST_FRAME = 64 * 1024 * 1024


class Round(msgspec.Struct, frozen=True, tag=True):
    """What a postman begins with."""

    relay: Relay
    connections: int
    notes: int
    """The descriptor of the notes, inherited with their lock: there is no moment at which nobody has it."""


class Mail(msgspec.Struct, frozen=True, tag=True):
    key: str
    sender: str
    recipient: str
    content: bytes


class Settled(msgspec.Struct, frozen=True, tag=True):
    """Everything that was answered is known elsewhere: the notes may be forgotten."""


class Answer(msgspec.Struct, frozen=True):
    key: str
    outcome: Outcome


_encode = msgspec.msgpack.Encoder().encode
_order = msgspec.msgpack.Decoder(Round | Mail | Settled)
_answer = msgspec.msgpack.Decoder(Answer)


# --- the sender's side


class PostmanCourier:
    """A `Courier` over a postman, which is started when it is needed, and again when it died."""

    def __init__(self, relay: Relay, head: Letterhead, connections: int, notes: Path) -> None:
        self._relay = relay
        self._connections = connections
        self._head = head
        self._notes = notes
        self._waiting: dict[str, asyncio.Future[Outcome]] = {}
        self._process: asyncio.subprocess.Process | None = None
        self._listening: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._noted = 0

    async def deliver(self, delivery: Delivery) -> Outcome:
        try:
            mail = Mail(
                delivery.key, self._head.address, usable(delivery.address), mail_of(delivery, self._head)
            )
        except Unfit as error:
            return Outcome(ok=False, error=str(error))
        try:
            orders = await self._orders()
        except OSError as error:
            return Outcome(ok=False, unavailable=True, error=f"no postman: {error.strerror or error}")
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting[delivery.key] = answer
        try:
            # When it died: whoever listens to it says what became of this mail.
            with contextlib.suppress(OSError):
                orders.write(_framed(_encode(mail)))
                await orders.drain()
            outcome = await answer
        finally:
            self._waiting.pop(delivery.key, None)
        self._settle(outcome)
        return outcome

    def _settle(self, outcome: Outcome) -> None:
        """Now and then, when nothing is on its way, the notes are forgotten: all in them was answered."""
        self._noted += outcome.ok
        process = self._process
        if self._noted >= 4096 and not self._waiting and process is not None and process.stdin is not None:
            self._noted = 0
            with contextlib.suppress(OSError):
                process.stdin.write(_framed(_encode(Settled())))

    async def _orders(self) -> asyncio.StreamWriter:
        async with self._starting:
            if self._listening is None or self._listening.done():
                await self._start()
            if self._process is None or self._process.stdin is None:
                raise BrokenPipeError
            return self._process.stdin

    async def _start(self) -> None:
        notes = await _free(self._notes)
        try:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "holdfast.adapters.notify.postman"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                pass_fds=[notes],
            )
        finally:
            os.close(notes)
        self._listening = asyncio.create_task(self._listen(self._process))
        if self._process.stdin is not None:
            begin = Round(self._relay, self._connections, notes)
            self._process.stdin.write(_framed(_encode(begin)))

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        """Hand each answer to whom it is for, until the postman ends; then say what became of the rest."""
        answers = process.stdout
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while answers is not None:
                told = _answer.decode(await _frame(answers))
                waiting = self._waiting.pop(told.key, None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(told.outcome)
        await process.wait()
        noted = await noted_by_the_last(self._notes)
        for key, waiting in list(self._waiting.items()):
            if not waiting.done():
                gone = Outcome(ok=False, unavailable=True, error="the postman ended")
                waiting.set_result(Outcome(ok=True) if key in noted else gone)

    async def close(self) -> None:
        """Let it end what it has begun. What it notes from now on, its successor reads."""
        if self._process is None or self._listening is None:
            return
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(FREE_WITHIN_S):
                await asyncio.shield(self._listening)
        except TimeoutError:
            self._process.kill()
            await self._listening


async def noted_by_the_last(notes: Path, *, into: AcceptedFile | None = None) -> frozenset[str]:
    """What the last postman noted. Waits until it has gone; it does not stay for longer than LINGER_S.

    With `into`, that is noted there, and forgotten here.
    """
    try:
        descriptor = await _free(notes)
    except BlockingIOError:
        return frozenset()  # it was stopped, not killed: it may double what it has, and nothing else
    try:
        file = AcceptedFile(descriptor)
        keys = file.left()
        if into is not None:
            into.take_over(keys)
            file.clear()
        return frozenset(keys)
    finally:
        os.close(descriptor)


async def _free(notes: Path) -> int:
    """A descriptor with the notes' lock, once the last postman has let go of it; raises BlockingIOError."""
    ends = time.monotonic() + FREE_WITHIN_S
    while True:
        try:
            return locked(notes)
        except BlockingIOError:
            if time.monotonic() > ends:
                raise
        await asyncio.sleep(LOOK_EVERY_S)


# --- the postman's side


class Postman:
    """Reads orders until they end, and answers each when it is done."""

    def __init__(self, orders: asyncio.StreamReader, answers: int) -> None:
        self._orders = orders
        self._answers = answers
        self._under_way: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        first = _order.decode(await _frame(self._orders))
        if not isinstance(first, Round):
            raise TypeError("a postman begins with a round")
        notes = AcceptedFile(first.notes)
        conversations = Conversations(first.relay, first.connections)
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                order = _order.decode(await _frame(self._orders))
                if isinstance(order, Mail):
                    task = asyncio.create_task(self._send(order, conversations, notes))
                    self._under_way.add(task)
                    task.add_done_callback(self._under_way.discard)
                elif isinstance(order, Settled) and not self._under_way:
                    notes.clear()
        # The sender is gone, or wants us to go: end what was begun.
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=LINGER_S)
        await conversations.close()

    async def _send(self, mail: Mail, conversations: Conversations, notes: AcceptedFile) -> None:
        outcome = await conversations.send(mail.sender, mail.recipient, mail.content)
        if outcome.ok:
            # Nothing is awaited between the relay's answer and this.
            notes.add(mail.key)
        with contextlib.suppress(OSError):  # nobody listens any more: the note is what counts
            _write(self._answers, _framed(_encode(Answer(mail.key, outcome))))


async def _frame(stream: asyncio.StreamReader) -> bytes:
    length = int.from_bytes(await stream.readexactly(_LENGTH_BYTES), "big")
    if length > _LONGEST_FRAME:
        raise ValueError("a frame that is too long")
    return await stream.readexactly(length)


def _framed(content: bytes) -> bytes:
    return len(content).to_bytes(_LENGTH_BYTES, "big") + content


def _write(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]


async def _main() -> None:
    # A terminal's Ctrl-C, or a service manager, tells the sender too: its end is the end of our orders.
    for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.SIG_IGN)
    orders = asyncio.StreamReader(limit=_LONGEST_FRAME)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(orders), sys.stdin.buffer
    )
    with contextlib.suppress(asyncio.IncompleteReadError):
        await Postman(orders, sys.stdout.fileno()).run()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_main())
