"""A region in which nobody forges: what is stored says by which key it was vouched for, and for which place.

Chunks, manifests and indexes are named, with their SHA-256, by their backup's record. What nothing else names
is vouched for here, under the estate's key for encryption (`Seal.tag`), and bound to the key that it lies at:

    ....json       a last line `"hmac-sha256:KEY:TAG"`: records, marks, verifications; still read by anybody
    ....history    a last line `# hmac-sha256:KEY:TAG`, which PostgreSQL takes for a comment
    a piece of WAL its name: START-END-COMMIT-COVERED-SHA.TAG.zst.KEY.aes, of TAG the first 32 digits

Above this nobody sees any of it: keys and contents are those of `holdfast.backup.layout`. What is not vouched
for is Damaged, or, of a piece of WAL, listed under a key that no piece has. What somebody deletes, no tag
tells; and the newest state of a bucket is not proven by one: locks are for that.
"""

import hmac
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from holdfast.adapters.packing.sealed import Seal
from holdfast.backup import layout
from holdfast.backup.errors import Damaged, KeyMissing
from holdfast.backup.ports import Listed, Region, TakesParts, Versioned

_LINE_STARTS = {".json": b'"', ".history": b"# "}
_TAG_LINE = re.compile(rb'\n(?:"|# )hmac-sha256:([a-z0-9-]{1,63}):([0-9a-f]{64})"?\n')
_LONGEST_LINE = 160
_NAME_TAG_DIGITS = 32
_TAGGED_NAME = re.compile(r"(.+-[0-9a-f]{64})\.([0-9a-f]{32})(\.zst\.([a-z0-9-]{1,63})\.aes)")
_UNTAGGED_NAME = re.compile(r"(.+-[0-9a-f]{64})(\.zst\.([a-z0-9-]{1,63})\.aes)")
FORGED_HINT = "nobody with the estate's keys stored that there: who else may write to this store?"


class AuthenticRegion:
    """A `Region` over another one. `keys` as for the packer; `key` vouches for what is new.

    Without keys nothing can be proven: then everything is read as it is, and nothing is vouched for. With
    `believes_unsealed` what was stored without any key is read as well, whoever it was that stored it.
    """

    def __init__(
        self, region: Region, keys: Mapping[str, bytes], key: str = "", *, believes_unsealed: bool = False
    ) -> None:
        self._region = region
        self._put_part = region.put_part if isinstance(region, TakesParts) else region.put
        self._seals = {name: Seal(name, each) for name, each in keys.items()}
        if key and key not in self._seals:
            raise KeyMissing(f"there is no key `{key}`", hint="name it in backup.encryption.keys")
        self._key = key
        self._believes_unsealed = believes_unsealed

    @property
    def name(self) -> str:
        return self._region.name

    def put(self, key: str, content: bytes | memoryview) -> None:
        self._region.put(self._stored_as(key), self._vouched(key, content))

    def put_part(self, key: str, content: bytes | memoryview) -> None:
        self._put_part(self._stored_as(key), self._vouched(key, content))

    def lies_with(self, folder: Path) -> bool:
        return isinstance(self._region, TakesParts) and self._region.lies_with(folder)

    def replace(self, key: str, content: bytes | memoryview) -> None:
        self._region.replace(self._stored_as(key), self._vouched(key, content))

    def get(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        if _line_start(key) is None:
            return self._region.get(self._stored_as(key), start, end)
        return self._proven(key, self._region.get(key))[start:end]

    def listed(self, prefix: str, after: str = "") -> Iterator[Listed]:
        # Up to the tag both names are the same.
        whole = _UNTAGGED_NAME.fullmatch(prefix)
        for each in self._region.listed(whole[1] if whole else prefix, after):
            listed = replace(each, key=self._known_as(each.key))
            if listed.key.startswith(prefix) and listed.key > after:
                yield listed

    def delete(self, keys: Sequence[str]) -> None:
        self._region.delete([self._stored_as(key) for key in keys])

    def lock(self, key: str, until: datetime) -> bool:
        return self._region.lock(self._stored_as(key), until)

    def locked_until(self, key: str) -> datetime | None:
        return self._region.locked_until(self._stored_as(key))

    def hidden(self, prefix: str) -> Sequence[str]:
        if not isinstance(self._region, Versioned):
            return []
        return [self._known_as(key) for key in self._region.hidden(prefix)]

    def unhide(self, keys: Sequence[str]) -> None:
        if isinstance(self._region, Versioned):
            self._region.unhide([self._stored_as(key) for key in keys])

    def earlier(self, key: str) -> Iterator[bytes]:
        if not isinstance(self._region, Versioned):
            return
        for content in self._region.earlier(self._stored_as(key)):
            with suppress(Damaged):
                yield self._proven(key, content)

    def kept_until(self, key: str) -> datetime | None:
        stored_as = self._stored_as(key)
        if isinstance(self._region, Versioned):
            return self._region.kept_until(stored_as)
        return self._region.locked_until(stored_as)

    def _vouched(self, key: str, content: bytes | memoryview) -> bytes | memoryview:
        start = _line_start(key)
        if start is None or not self._key:
            return content
        tag = self._seals[self._key].tag(key, content)
        line = b"\n%shmac-sha256:%s:%s" % (start, self._key.encode(), tag.encode())
        return bytes(content) + line + (b'"\n' if start == b'"' else b"\n")

    def _proven(self, key: str, stored: bytes) -> bytes:
        """The content of what is stored there. Raises Damaged for what nobody vouched for at this place."""
        if _line_start(key) is None:
            return stored
        last_line = stored.rfind(b"\n", max(len(stored) - _LONGEST_LINE, 0), max(len(stored) - 1, 0))
        line = _TAG_LINE.fullmatch(stored, last_line) if last_line >= 0 else None
        if not self._seals:
            return stored[: line.start()] if line else stored
        if line is None and self._believes_unsealed:
            return stored
        if line is None:
            raise Damaged(f"{self.name}: {key} is not vouched for by any key", hint=FORGED_HINT)
        name, content = line[1].decode(), stored[: line.start()]
        if name not in self._seals:
            hint = f"declare it again: backup.encryption.keys.{name}"
            raise Damaged(f"{self.name}: {key} names the key `{name}`, which is not declared", hint=hint)
        if not hmac.compare_digest(self._seals[name].tag(key, content), line[2].decode()):
            raise Damaged(f"{self.name}: {key} is not what the key `{name}` vouched for", hint=FORGED_HINT)
        return content

    def _stored_as(self, key: str) -> str:
        """The name of an object in the store: that of a sealed piece of WAL has a tag."""
        if key.endswith(".zst"):
            return key
        if key.endswith(layout.FORGED):
            return key.removesuffix(layout.FORGED)
        match = _UNTAGGED_NAME.fullmatch(key)
        if match is None or layout.piece_of(key, 0) is None:
            return key
        if match[3] in self._seals:
            return f"{match[1]}.{self._name_tag(key, match[3])}{match[2]}"
        # Nobody can tell the name without the key, but the store does.
        there = (each.key for each in self._region.listed(match[1]))
        return next((each for each in there if self._known_as(each) == key), key)

    def _known_as(self, stored_as: str) -> str:
        """The key of an object by its name in the store."""
        match = _TAGGED_NAME.fullmatch(stored_as)
        key = f"{match[1]}{match[3]}" if match else stored_as
        piece = layout.piece_of(key, 0)
        if piece is None:
            return stored_as
        if not self._seals or (self._believes_unsealed and not piece.sealed_with):
            return key
        if match and match[4] in self._seals and hmac.compare_digest(self._name_tag(key, match[4]), match[2]):
            return key
        return stored_as + layout.FORGED

    def _name_tag(self, key: str, name: str) -> str:
        return self._seals[name].tag(key)[:_NAME_TAG_DIGITS]


def _line_start(key: str) -> bytes | None:
    return _LINE_STARTS.get(key[key.rfind(".") :]) if "." in key else None
