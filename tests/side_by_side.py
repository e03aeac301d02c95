"""Which tests run beside which when several processes share them (pytest-xdist).

A file is run by one process, as its fixtures are its own. Files of one folder that share something which
takes long to start are run by one process too, one behind the other: else each process would start it, again
and again. And the order is such that what waits for real processes runs beside what computes, and that
nothing long is left for the end, when the others have nothing more to do.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController  # type: ignore[import-untyped]

ROOT = Path(__file__).resolve().parents[1]
SHARED = {"tests/e2e": "from e2e.demo import"}
"""What the files of a folder that share have in them."""
WAITING = ("tests/e2e", "tests/chaos", "tests/integration")
"""Begun first, in this order; the others compute most of their time."""


@cache
def unit_of(file: str) -> str:
    """What one process runs in one go, by a file's path in the repository: itself, or its folder's part."""
    folder = file.rpartition("/")[0]
    mark = SHARED.get(folder)
    if mark is not None and (ROOT / file).is_file() and mark in (ROOT / file).read_text(encoding="utf-8"):
        return folder
    return file


def ordered(units: Sequence[tuple[str, int]]) -> list[str]:
    """Units, each with its number of tests, from those that wait longest to those that compute most."""

    def rank(unit: tuple[str, int]) -> tuple[int, bool, int, str]:
        name, tests = unit
        waiting = next((n for n, each in enumerate(WAITING) if name.startswith(each)), None)
        if waiting is None:
            return len(WAITING), True, tests, name
        return waiting, name.endswith(".py"), -tests, name

    return [name for name, _ in sorted(units, key=rank)]


class SideBySide(LoadFileScheduling):  # type: ignore[misc]
    """One process computes from the end of the line on while the others wait from its beginning on."""

    def schedule(self) -> None:
        if self.collection is None:
            self.config.option.loadscopereorder = False
        super().schedule()

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(super()._split_scope(nodeid))

    def _assign_work_unit(self, node: "WorkerController") -> None:
        names = ordered([(name, len(tests)) for name, tests in self.workqueue.items()])
        computes = node.gateway.id == "gw0"
        self.workqueue.move_to_end(names[-1] if computes else names[0], last=False)
        super()._assign_work_unit(node)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> SideBySide | None:
    """For `--dist loadfile`, which is what `make test` asks for."""
    return SideBySide(config, log) if config.getvalue("dist") == "loadfile" else None
