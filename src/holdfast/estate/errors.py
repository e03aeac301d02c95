"""What can be wrong with the estate file.

EstateError     the file cannot be used; carries every problem that was found
SecretError     a secret that the estate refers to cannot be had
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from holdfast.kernel.errors import HoldfastError, Remedy


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to put right: where it is, what is wrong, and what helps.

    `line` and `column` count from 1; both are 0 when the problem is the file itself. `path` names the place
    in the operator's own keys, such as `clusters.eu.components.web`, and is empty for the whole file.
    """

    file: str
    line: int
    column: int
    path: str
    message: str
    hint: str = ""

    def as_text(self) -> str:
        """`holdfast.yaml:12:7  clusters.eu.regoin: unknown key`, and the hint indented on the next line."""
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        subject = f"{self.path}: " if self.path else ""
        text = f"{place}  {subject}{self.message}"
        return f"{text}\n    hint: {self.hint}" if self.hint else text


class EstateError(HoldfastError):
    """The estate file is wrong. All problems at once, in the order of the file; never an empty list."""

    remedy = Remedy.NEEDS_OPERATOR

    def __init__(self, problems: Iterable[Problem]) -> None:
        found = sorted(set(problems), key=lambda p: (p.line, p.column, p.path, p.message))
        if not found:
            raise ValueError("an estate error names at least one problem")
        self.problems = tuple(found)
        first = found[0]
        count = "one problem" if len(found) == 1 else f"{len(found)} problems; the first"
        place = f"line {first.line}: " if first.line else ""
        subject = f"{first.path}: " if first.path else ""
        super().__init__(f"{first.file} has {count}: {place}{subject}{first.message}", hint=first.hint)

    def as_text(self) -> str:
        """Every problem for people, one after the other."""
        return "\n".join(problem.as_text() for problem in self.problems)

    def as_json(self) -> list[dict[str, object]]:
        """Every problem for programs: `file`, `line`, `column`, `path`, `message`, `hint`."""
        return [asdict(problem) for problem in self.problems]


class SecretError(HoldfastError):
    """A secret cannot be had. The message names the reference and never holds any of the secret."""

    remedy = Remedy.NEEDS_OPERATOR
