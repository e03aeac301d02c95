"""A part that is one process of the sample service, listening on one port."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from holdfast.kernel.clock import Clock
from holdfast.lab import ports, processes
from holdfast.lab.errors import NotRunningError, PartFailedError, PortTakenError
from holdfast.lab.model import WAYS, Damage, PartState, PartStatus, refuse_unless
from holdfast.lab.place import Place, Record
from holdfast.lab.processes import Phase, Process

# Set for every process of a lab, so that one whose record was never written is still found and ended.
LAB_VARIABLE, PART_VARIABLE = "HOLDFAST_LAB", "HOLDFAST_LAB_PART"
READY_TIMEOUT_S = 60.0
STOP_GRACE_S = 8.0
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "TMPDIR")


@dataclass(frozen=True, slots=True)
class Command:
    """How a service is started: an absolute program with arguments, and what its environment adds to ours."""

    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


class ServicePart:
    """One process. The record in the lab's directory tells which; its port tells when it is ready.

    `command` is asked when there is something to start, and may raise a LabError.
    """

    def __init__(
        self,
        name: str,
        port: int,
        command: Callable[[], Command],
        place: Place,
        clock: Clock,
        *,
        host: str = ports.LOOPBACK,
        ready_within_s: float = READY_TIMEOUT_S,
        owned: bool = True,
        answers: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:
        """It is reached at `host`, and ready when it `answers`: when it accepts a connection, if left out.

        Where somebody else listens for it, it does not own the port: nobody looks whether that is free.
        """
        self._name = name
        self._port = port
        self._host = host
        self._ready_within_s = ready_within_s
        self._owned = owned
        self._answers = answers
        self._command = command
        self._place = place
        self._clock = clock

    @property
    def name(self) -> str:
        return self._name

    async def start(self) -> None:
        """Return when the port answers. Raises PortTakenError, or PartFailedError with its last words."""
        process = self._living()
        log_length = 0
        if process is None:
            self._require_free_port()
            log = self._place.log(self._name)
            log_length = log.stat().st_size if log.exists() else 0
            command = self._command()
            process = processes.spawn(command.arguments, self._environment(command), log)
            self._record(process)
        elif processes.phase_of(process) is Phase.FROZEN:
            processes.send_signal(process, signal.SIGCONT)
            self._record(process)
        await self._until_answering(process, log_length)

    async def heal(self) -> None:
        await self.start()

    async def stop(self) -> None:
        await self._end()
        self._place.forget(self._name)

    async def break_(self, how: Damage) -> None:
        process = self._living()
        if process is None:
            if (record := self._place.record(self._name)) and record.damage:
                return
            raise NotRunningError(
                f"{self._name} does not run", hint="start what is missing by holdfast lab up"
            )
        refuse_unless(how, WAYS, self._name)
        if how is Damage.HANG:
            processes.send_signal(process, signal.SIGSTOP)
            if not await processes.wait_until(process, Phase.FROZEN, 5):
                raise PartFailedError(f"{self._name} ended before it could be frozen")
            self._damaged(how, process)
        elif how is Damage.KILL:
            processes.send_signal(process, signal.SIGKILL)
            await processes.wait_until(process, Phase.GONE, 10)
            processes.reap(process)
            self._damaged(how, None)
        else:
            await self._end()
            self._damaged(how, None)

    async def status(self) -> PartStatus:
        record = self._place.record(self._name)
        process = record.process if record else None
        phase = processes.phase_of(process) if process else Phase.GONE
        if process and phase is Phase.GONE:
            processes.reap(process)
        since = record.since if record else None
        if record is None or process is None or phase is Phase.GONE:
            if record and record.damage and process is None:
                return PartStatus(self._name, PartState.BROKEN, None, self._port, since)
            return PartStatus(self._name, PartState.MISSING, None, self._port, None)
        if phase is Phase.FROZEN:
            known = since if record.damage is Damage.HANG else None
            return PartStatus(self._name, PartState.HANGING, process.pid, self._port, known)
        return PartStatus(self._name, PartState.RUNNING, process.pid, self._port, since)

    def _living(self) -> Process | None:
        """Our process, active or frozen: the recorded one, else one that was started but never recorded."""
        record = self._place.record(self._name)
        if record and record.process:
            if processes.phase_of(record.process) is not Phase.GONE:
                return record.process
            processes.reap(record.process)
        for process, environment in processes.find_by_environment(LAB_VARIABLE, str(self._place.root)):
            if environment.get(PART_VARIABLE) == self._name:
                self._record(process)
                return process
        return None

    async def _end(self) -> None:
        while process := self._living():
            if not await processes.end(process, grace_s=STOP_GRACE_S):
                raise PartFailedError(
                    f"{self._name} (process {process.pid}) does not end",
                    hint="it may wait for a disk; try again",
                )
            processes.reap(process)

    async def answers(self) -> bool:
        """Whether somebody can use it now."""
        return await (self._answers() if self._answers else ports.answers(self._port, host=self._host))

    async def _until_answering(self, process: Process, log_length: int) -> None:
        deadline = time.monotonic() + self._ready_within_s
        while not await self.answers():
            if processes.phase_of(process) is Phase.GONE:
                processes.reap(process)
                raise PartFailedError(
                    f"{self._name} ended while it started{self._last_words(log_length)}",
                    hint=f"its log: {self._place.log(self._name)}",
                )
            if time.monotonic() >= deadline:
                raise PartFailedError(
                    f"{self._name} does not answer on port {self._port} after {self._ready_within_s:.0f} s",
                    hint=f"its log: {self._place.log(self._name)}",
                )
            await asyncio.sleep(0.05)

    def _last_words(self, log_length: int) -> str:
        written = self._place.log(self._name).stat().st_size - log_length
        lines = self._place.log_end(self._name, max(0, min(written, 4096))).strip().splitlines()
        return f": {lines[-1]}" if lines else ""

    def _require_free_port(self) -> None:
        if not self._owned or ports.is_free(self._port, self._host):
            return
        pid = ports.owner_of(self._port)
        whom = f"process {pid} ({processes.command_of(pid)})" if pid else "somebody else"
        raise PortTakenError(
            f"port {self._port} of {self._name} is taken by {whom}",
            port=self._port,
            pid=pid,
            hint="end that process, or run the lab on other ports: export HOLDFAST_LAB_BASE_PORT=19100",
        )

    def _environment(self, command: Command) -> dict[str, str]:
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        marks = {LAB_VARIABLE: str(self._place.root), PART_VARIABLE: self._name}
        return {**inherited, **command.environment, **marks}

    def _record(self, process: Process) -> None:
        self._place.write_record(self._name, Record(self._clock.now(), process))

    def _damaged(self, how: Damage, process: Process | None) -> None:
        self._place.write_record(self._name, Record(self._clock.now(), process, how))
