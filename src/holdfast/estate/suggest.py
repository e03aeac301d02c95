"""Did you mean ...? The nearest of the words that were possible."""

from collections.abc import Iterable
from difflib import get_close_matches


def closest(word: str, possible: Iterable[str]) -> str | None:
    """The word that was probably meant, or None when nothing is near. Case, `_` and `-` weigh nothing."""
    by_folded = {_folded(candidate): candidate for candidate in possible}
    folded = _folded(word)
    near = get_close_matches(folded, by_folded, n=1, cutoff=0.6)
    if not near:
        # Too short for a ratio: `ue` for `eu`.
        near = [candidate for candidate in by_folded if sorted(candidate) == sorted(folded)]
    return by_folded[near[0]] if near else None


def did_you_mean(word: str, possible: Iterable[str], *, otherwise: str = "") -> str:
    """A hint with the nearest word; without one `otherwise`, or the possible words when they are few."""
    candidates = list(possible)
    if (near := closest(word, candidates)) is not None and near != word:
        return f"did you mean `{near}`?"
    if otherwise or not candidates or len(candidates) > 24:
        return otherwise
    return "possible here: " + ", ".join(candidates)


def _folded(word: str) -> str:
    return word.lower().replace("_", "").replace("-", "")
