"""From `holdfast.yaml` to an Estate, or to everything that is wrong with it at once."""

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from holdfast.estate.check_rules import ConditionCheck
from holdfast.estate.errors import EstateError, Problem
from holdfast.estate.files import file_findings
from holdfast.estate.findings import Finding, path_text
from holdfast.estate.mismatch import findings_of
from holdfast.estate.model import Estate
from holdfast.estate.partial import partial_estate
from holdfast.estate.rules import control_findings, findings_in
from holdfast.estate.source import MAX_BYTES, Fault, Mapping, Node, place_of, plain, read_tree, scalars

_INIT_HINT = "`holdfast init` writes one to begin with"


def load_estate(path: Path, check_condition: ConditionCheck) -> Estate:
    """The estate that the file declares. Raises EstateError with every problem in it.

    `check_condition(check type, text)` says what is wrong with a condition, or None. Files named in the
    estate are looked for beside it.
    """
    return parse_estate(read_estate_file(path), path, check_condition)


def read_estate_file(path: Path) -> bytes:
    """The file's bytes, at most one more than is allowed; raises EstateError when it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise _whole(path, "there is no such file", _INIT_HINT) from error
    except OSError as error:
        raise _whole(path, f"cannot be read: {error.strerror}") from error


def parse_estate(content: bytes, path: Path, check_condition: ConditionCheck) -> Estate:
    """The estate in `content`, the bytes of the file at `path`. Raises EstateError as `load_estate` does."""
    root, faults = read_tree(_text(content, path))
    problems = [_problem_at(fault, path) for fault in faults]
    if not isinstance(root, Mapping):
        if not problems:
            problems = [_not_a_mapping(root, path)]
        raise EstateError(problems)
    estate, findings = _judged(root, path.parent, check_condition)
    problems.extend(_problem(finding, root, path) for finding in findings)
    if estate is None or problems:
        raise EstateError(problems)
    return estate


def _judged(
    root: Mapping, base: Path, check_condition: ConditionCheck
) -> tuple[Estate | None, list[Finding]]:
    raw: Any = plain(root)
    findings = list(control_findings((path, scalar.text) for path, scalar in scalars(root)))
    estate: Estate | None = None
    try:
        estate = Estate.model_validate(raw)
    except ValidationError as error:
        findings.extend(findings_of(error, raw))
    judged = estate if estate is not None else partial_estate(raw)
    known = {finding.path for finding in findings}
    ruled = [*findings_in(judged, check_condition, partial=estate is None), *file_findings(judged, base)]
    # What is not even of the right type needs no second opinion.
    findings.extend(finding for finding in ruled if finding.path not in known)
    return estate, findings


def _text(content: bytes, path: Path) -> str:
    if len(content) > MAX_BYTES:
        raise _whole(path, f"larger than {MAX_BYTES // 1024 // 1024} MiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - (content.rfind(b"\n", 0, error.start) + 1) + 1
        problem = Problem(str(path), line, column, "", "not UTF-8 text", "save the file as UTF-8")
        raise EstateError([problem]) from None


def _not_a_mapping(root: Node | None, path: Path) -> Problem:
    if root is None:
        return Problem(str(path), 0, 0, "", "the file declares nothing", _INIT_HINT)
    hint = "begin with keys such as `regions:` and `clusters:`"
    return Problem(
        str(path), root.place.line, root.place.column, "", "an estate is a mapping of keys to values", hint
    )


def _problem_at(fault: Fault, path: Path) -> Problem:
    return Problem(str(path), fault.place.line, fault.place.column, "", fault.message, fault.hint)


def _problem(finding: Finding, root: Node, path: Path) -> Problem:
    place = place_of(root, finding.path, at_key=finding.at_key)
    shown = path_text(finding.path)
    return Problem(str(path), place.line, place.column, shown, finding.message, finding.hint)


def _whole(path: Path, message: str, hint: str = "") -> EstateError:
    return EstateError([Problem(str(path), 0, 0, "", message, hint)])
