"""Where the sample print service is on this machine."""

from pathlib import Path

import holdfast
from holdfast.lab.errors import SourcesMissingError

_MAIN = Path("printcloud/__main__.py")


def find_printcloud(given: Path | None = None) -> Path:
    """The folder that holds the sample service and its estate file; raises SourcesMissingError.

    Without `given`: `examples/printcloud` in the current directory, else in the checkout that this program
    runs from.
    """
    places = [given] if given else [Path.cwd() / "examples/printcloud", _checkout() / "examples/printcloud"]
    for place in places:
        if (place / _MAIN).is_file():
            return place.resolve()
    raise SourcesMissingError(
        f"the sample print service is not in {' or '.join(map(str, places))}",
        hint="run the lab in a checkout of Holdfast, or say where examples/printcloud is",
    )


def _checkout() -> Path:
    return Path(holdfast.__file__).resolve().parents[2]
