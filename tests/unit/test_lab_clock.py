"""The lab's clock: wrong by what a file says, for programs of any kind."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.lab.regions import shim

ASK = """
import datetime, json, time
print(json.dumps([time.time(), datetime.datetime.now(datetime.UTC).timestamp(), time.monotonic()]))
"""


def told(command: list[str], environment: dict[str, str]) -> str:
    return subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, check=True, text=True, timeout=60
    ).stdout


@pytest.mark.parametrize("by", [0, 300, -300])
def test_a_program_s_wall_clock_is_wrong_by_what_the_file_says(by: int, tmp_path: Path) -> None:
    file = tmp_path / "clock"
    if by:
        file.write_text(str(by), encoding="ascii")
    own = dict(shim.environment(tmp_path, file))
    # Without a compiler there is no library, and the clock is right.
    wrong = by if own else 0
    [right, _, monotonic] = json.loads(told([sys.executable, "-c", ASK], {}))
    found = json.loads(told([sys.executable, "-c", ASK], own))
    assert found[0] - right == pytest.approx(wrong, abs=60)
    assert found[1] == pytest.approx(found[0], abs=5)
    assert found[2] - monotonic == pytest.approx(0, abs=60), "the monotonic clock is right"
    assert int(told(["date", "+%s"], own)) - right == pytest.approx(wrong, abs=60), "not Python alone"


def test_it_is_built_once_and_not_where_its_path_could_not_be_named(tmp_path: Path) -> None:
    first = shim.built(tmp_path)
    if first is not None:
        before = first.stat()
        assert shim.built(tmp_path) == first
        assert first.stat().st_mtime_ns == before.st_mtime_ns
        assert [each.name for each in tmp_path.iterdir()] == [first.name]
    assert shim.built(tmp_path / "a b") is None


def test_without_a_compiler_or_with_one_that_fails_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shim, "COMPILERS", ("no-such-compiler",))
    assert shim.environment(tmp_path, tmp_path / "clock") == {}
    monkeypatch.setattr(shim, "COMPILERS", ("false",))
    assert shim.environment(tmp_path, tmp_path / "clock") == {}
    assert list(tmp_path.iterdir()) == []
