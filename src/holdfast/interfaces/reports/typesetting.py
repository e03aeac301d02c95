"""Sets one report in type, in a process of its own: JSON comes in on stdin, a PDF goes out on stdout.

A process can be ended when it takes too long, as a thread cannot, and what it allocates goes with it. What
a report says is handed over as data (`sys.inputs`) and never becomes part of the program: no text can act.
Nothing is read from disk or network but the template: fonts are those inside typst. Only a text that these
cannot write is set with the machine's own, as it would be no accessible PDF (PDF/UA-1) in any case.
"""

import json
import resource
import sys
from importlib.resources import files
from typing import Literal

CPU_S = 60
MEMORY = 2 << 30


def main() -> None:
    """Read, set, write. Ends with 1 and one line on stderr where that fails."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    import typst  # noqa: PLC0415  under the limits

    asked = json.loads(sys.stdin.buffer.read())
    template = (files("holdfast.interfaces.reports") / "templates" / "report.typ").read_bytes()
    inputs = {"report": json.dumps(asked["report"])}

    def compiled(*, own_fonts: bool, standard: Literal["ua-1"] | None) -> object:
        compiler = typst.Compiler(template, ignore_system_fonts=own_fonts, sys_inputs=inputs)
        return compiler.compile(format="pdf", timestamp=asked["made_at"], pdf_standards=standard)

    try:
        try:
            made = compiled(own_fonts=True, standard="ua-1")
        except typst.TypstError:
            made = compiled(own_fonts=False, standard=None)
    except typst.TypstError as error:
        sys.stderr.write(" ".join(str(error).split()) + "\n")
        sys.exit(1)
    assert isinstance(made, bytes)  # noqa: S101  one document without an output path is bytes
    sys.stdout.buffer.write(made)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
