"""The command: `python -m bench [NAME...] [--runs N] [--quick] [--json] [--strict] [--list]`."""

import argparse
import fcntl
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bench.machine import is_busy, machine
from bench.subjects import FOLDER, SUBJECTS, Options, Subject
from bench.table import Measurement, table


def main() -> int:
    arguments = parsed()
    if arguments.list:
        for each in SUBJECTS:
            print(f"{each.name:10} {each.what}")
        return 0
    chosen = [each for each in SUBJECTS if not arguments.names or each.name in arguments.names]
    found = machine()
    if not arguments.json:
        print_machine(found)
    with alone():
        measured = measure(chosen, Options(arguments.runs, quick=arguments.quick))
    if arguments.json:
        print(json.dumps({"machine": found, "measurements": [each.as_json() for each in measured]}, indent=2))
    else:
        print(table(measured), end="")
    return int(arguments.strict and any(each.ok is False for each in measured))


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measures what Holdfast promises.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="what to measure; everything when left out")
    parser.add_argument("--list", action="store_true", help="say what there is to measure, and end")
    parser.add_argument("--runs", type=int, default=3, help="how often, for the median (default 3)")
    parser.add_argument(
        "--quick", action="store_true", help="shorter and smaller: to try a change, not to quote"
    )
    parser.add_argument("--json", action="store_true", help="answer in JSON")
    parser.add_argument("--strict", action="store_true", help="end with status 1 when a target is missed")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.names) - {each.name for each in SUBJECTS})
    if unknown:
        parser.error(f"nothing is called {', '.join(unknown)}; see --list")
    if arguments.runs < 1:
        parser.error("--runs is at least 1")
    return arguments


@contextmanager
def alone() -> Iterator[None]:
    """Two benches at once would measure each other, and take each other's leftovers for old ones."""
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemExit("another bench is running") from None
        yield


def measure(chosen: Sequence[Subject], options: Options) -> list[Measurement]:
    measured: list[Measurement] = []
    for each in chosen:
        print(f"measuring {each.name}: {each.what}", file=sys.stderr)
        measured += each.measure(options)
    return measured


def print_machine(found: dict[str, object]) -> None:
    print(
        f"{found['cores']} cores ({found['processor']}), {found['memory']}, Linux {found['kernel']}, "
        f"Python {found['python']}, PostgreSQL {found['postgresql']}, load {found['load']}"
    )
    if is_busy(float(str(found["load"])), os.cpu_count() or 1):
        print("WARNING: the machine is busy with something else; these figures are no measure of Holdfast")


if __name__ == "__main__":
    sys.exit(main())
