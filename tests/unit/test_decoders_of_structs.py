"""What is known of a type is found out by one thread: two that do so at once take the process down."""

import ast
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from holdfast.backup import records
from holdfast.backup.model import Suspicion

HOUSE = Path(__file__).resolve().parents[2] / "src" / "holdfast"
LOCKED = HOUSE / "backup" / "records.py"
"""Makes them under a lock: see below."""
SOURCES = sorted(set(HOUSE.rglob("*.py")) - {LOCKED})


def calls_in_functions(text: str) -> list[ast.Call]:
    """What is called when a function runs, and not when its module is imported."""
    functions = [
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    ]
    return [each for function in functions for each in ast.walk(function) if isinstance(each, ast.Call)]


def finds_out_a_type(call: ast.Call) -> bool:
    name = ast.unparse(call.func)
    if name.startswith("msgspec.") and name.endswith(".decode"):
        return len(call.args) > 1 or any(each.arg == "type" for each in call.keywords)
    return name.startswith("msgspec.") and name.endswith(".Decoder")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: "/".join(path.parts[-3:]))
def test_decoders_are_made_when_a_module_is_imported(path: Path) -> None:
    found = [each.lineno for each in calls_in_functions(path.read_text("utf-8")) if finds_out_a_type(each)]
    assert found == []


def test_the_look_finds_what_it_is_to_find() -> None:
    lines = [
        "def f(x):",
        "msgspec.json.decode(x, type=T)",
        "msgspec.json.Decoder(T)",
        "msgspec.json.decode(x)",
    ]
    text = "\n    ".join(lines)
    assert [finds_out_a_type(each) for each in calls_in_functions(text)] == [True, True, False]


def test_many_threads_that_read_records_make_each_decoder_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made, at_once = [], []
    real: Any = msgspec.json.Decoder

    def slowly(kind: type) -> Any:
        at_once.append(kind)
        time.sleep(0.02)
        made.append((kind, len(at_once)))
        at_once.clear()
        return real(kind)

    monkeypatch.setattr(records, "_DECODERS", {})
    monkeypatch.setattr(records.msgspec.json, "Decoder", slowly)
    kinds = [dict[str, int], dict[str, str], list[int], Suspicion]
    gate = threading.Barrier(2 * len(kinds))

    def work(kind: Any) -> None:
        gate.wait()
        records._decoder_of(kind)

    threads = [threading.Thread(target=work, args=(kind,)) for kind in kinds * 2]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert [count for _, count in made] == [1] * len(kinds)
