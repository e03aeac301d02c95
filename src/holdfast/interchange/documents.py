"""YAML of other tools, read with the bounds of the estate file."""

from collections.abc import Callable
from typing import Any

from holdfast.estate.source import MAX_BYTES, plain, read_trees
from holdfast.interchange.errors import SourceError


def read_documents(
    content: bytes, name: str, before: Callable[[str], str] = lambda text: text
) -> tuple[list[Any], list[str]]:
    """The documents in `content` as plain values, and the faults that did not keep them from being read.

    `before` rewrites the text before it is read. Raises SourceError when it is too large or not YAML.
    """
    if len(content) > MAX_BYTES:
        raise SourceError(
            f"{name} is larger than {MAX_BYTES // 1024 // 1024} MiB", hint="is it the right file?"
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceError(f"{name} is not UTF-8 text", hint="is it the right file?") from error
    trees, faults = read_trees(before(text))
    texts = [f"line {fault.place.line}: {fault.message}" for fault in faults]
    if not trees and faults:
        raise SourceError(f"{name}: {texts[-1]}", hint=faults[-1].hint)
    return [plain(tree) for tree in trees], texts


def read_mapping(
    content: bytes, name: str, before: Callable[[str], str] = lambda text: text
) -> tuple[dict[str, Any], list[str]]:
    """The only document in `content`, which is a mapping. Raises SourceError as `read_documents` does."""
    documents, faults = read_documents(content, name, before)
    if len(documents) != 1 or not isinstance(documents[0], dict):
        raise SourceError(f"{name} is not one mapping of keys to values", hint="is it the right file?")
    return documents[0], faults
