"""What a rule has to say about a place in the estate, before the place has a line."""

from dataclasses import dataclass

from holdfast.estate.source import Path


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong at `path`. `at_key` points at the key itself, not at its value."""

    path: Path
    message: str
    hint: str = ""
    at_key: bool = False


def path_text(path: Path) -> str:
    """`clusters.eu.components.web`, `agreements.gold.credits[0].below`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}"
    return text.removeprefix(".")
