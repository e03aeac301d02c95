"""What is packed unpacks to the same bytes, and nothing else unpacks at all."""

import hashlib
import hmac
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import zstandard
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from holdfast.adapters.packing.sealed import MAGIC, OVERHEAD_BYTES
from holdfast.adapters.packing.zstd import ZstdPacker
from holdfast.backup.errors import Damaged, KeyMissing

KEYS = {"one": bytes(range(32)), "two": bytes(range(1, 33))}
RAW = b"".join(b"%06d a customer printed %d pages\n" % (each, each % 17) for each in range(5000))


def sealing(name: str = "one") -> ZstdPacker:
    return ZstdPacker(keys=KEYS, key=name)


@given(st.binary(max_size=5000))
def test_what_goes_in_comes_out(raw: bytes) -> None:
    for packer in (ZstdPacker(), sealing()):
        for given_as in (raw, bytearray(raw), memoryview(raw)):
            stored = packer.pack(given_as)
            assert packer.unpack(stored, packer.sealed_with) == raw
            assert packer.unpack(stored, packer.sealed_with, len(raw)) == raw


def test_it_gets_smaller_and_the_seal_costs_40_bytes() -> None:
    plain = ZstdPacker().pack(RAW)
    assert len(plain) < len(RAW) / 4
    assert len(sealing().pack(RAW)) == len(plain) + OVERHEAD_BYTES
    assert OVERHEAD_BYTES == 40


def test_a_frame_tells_its_size_and_checksum() -> None:
    told = zstandard.get_frame_parameters(ZstdPacker().pack(RAW))
    assert (told.content_size, told.has_checksum) == (len(RAW), True)


def test_without_us_a_seal_opens_by_what_its_docstring_says(tmp_path: Path) -> None:
    stored = sealing().pack(RAW)
    key = hmac.digest(KEYS["one"], b"holdfast backup seal\x01", hashlib.sha256)
    packed = AESGCM(key).decrypt(stored[12:24], stored[24:], stored[:24] + b"one")
    assert zstandard.decompress(packed) == RAW
    assert stored[4:12] == hmac.digest(KEYS["one"], b"holdfast backup fingerprint\x01", hashlib.sha256)[:8]


def test_sealed_twice_it_is_never_the_same() -> None:
    packer = sealing()
    assert len({packer.pack(b"x") for _ in range(500)}) == 500
    assert len({packer.pack(b"x")[12:24] for _ in range(500)}) == 500


def test_the_other_key_opens_what_was_sealed_with_it_after_a_rotation() -> None:
    before = sealing("one").pack(RAW)
    packer = sealing("two")
    assert packer.sealed_with == "two"
    after = packer.pack(RAW)
    assert packer.unpack(before, "one") == RAW
    assert packer.unpack(after, "two") == RAW
    assert packer.unpack(ZstdPacker().pack(RAW), "") == RAW


def test_a_key_that_is_not_declared_is_named() -> None:
    stored = sealing("one").pack(RAW)
    for packer in (ZstdPacker(), ZstdPacker(keys={"two": KEYS["two"]}, key="two")):
        with pytest.raises(KeyMissing) as missing:
            packer.unpack(stored, "one")
        assert "`one`" in str(missing.value)
        assert "backup.encryption.keys.one" in missing.value.hint
    with pytest.raises(KeyMissing):
        ZstdPacker(keys=KEYS, key="three")
    with pytest.raises(KeyMissing, match="31 bytes"):
        ZstdPacker(keys={"short": bytes(31)}, key="short")


def test_another_key_under_the_same_name_is_not_taken_for_damage() -> None:
    stored = sealing("one").pack(RAW)
    with pytest.raises(KeyMissing, match="another key") as wrong:
        ZstdPacker(keys={"one": KEYS["two"]}, key="one").unpack(stored, "one")
    assert "a new key takes a new name" in wrong.value.hint


def test_a_seal_belongs_to_its_name() -> None:
    same = ZstdPacker(keys={"a": KEYS["one"], "b": KEYS["one"]}, key="a")
    with pytest.raises(Damaged):
        same.unpack(same.pack(RAW), "b")


@pytest.mark.parametrize("name", ["", "one"])
def test_no_flipped_bit_goes_unnoticed(name: str) -> None:
    packer = ZstdPacker(keys=KEYS, key=name)
    stored = packer.pack(RAW[:300])
    for place in range(len(stored)):
        for bit in (1, 128):
            altered = stored[:place] + bytes([stored[place] ^ bit]) + stored[place + 1 :]
            try:
                assert packer.unpack(altered, name) == RAW[:300]
                # A zstandard frame has a bit in its head that means nothing; sealed ones have none.
                assert not name
            except (Damaged, KeyMissing):
                continue


@pytest.mark.parametrize("name", ["", "one"])
def test_no_other_bytes_unpack(name: str) -> None:
    packer = ZstdPacker(keys=KEYS, key=name)
    stored = packer.pack(RAW)
    wrong = [b"", b"x", MAGIC, MAGIC + bytes(36), stored[:-1], stored[: len(stored) // 2], stored + b"x"]
    for content in [*wrong, stored + stored, os.urandom(1000)]:
        with pytest.raises((Damaged, KeyMissing)):
            packer.unpack(content, name)
    with pytest.raises(Damaged):
        packer.unpack(stored, "" if name else "one")


def test_bombs_are_turned_away_before_they_go_off() -> None:
    bomb = zstandard.ZstdCompressor().compress(bytes(200_000_000))
    assert len(bomb) < 20_000
    with pytest.raises(Damaged, match="200000000"):
        ZstdPacker().unpack(bomb, "", 1000)
    # One that does not tell how large it is, and one that lies about it.
    untold = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(200_000_000))
    with pytest.raises(Damaged):
        ZstdPacker().unpack(untold, "", 1000)
    head = zstandard.frame_header_size(bomb)
    assert zstandard.get_frame_parameters(bomb).content_size == 200_000_000
    liar = bomb[: head - 4] + (1 << 62).to_bytes(8, "little")[4:] + bomb[head:]
    with pytest.raises(Damaged):
        ZstdPacker().unpack(liar, "")


def test_a_frame_of_another_program_that_tells_no_size_unpacks_too() -> None:
    packed = zstandard.ZstdCompressor(write_content_size=False).compress(RAW)
    assert ZstdPacker().unpack(packed, "", len(RAW)) == RAW
    for other in (packed[:-3], packed + b"x", packed + packed):
        with pytest.raises(Damaged):
            ZstdPacker().unpack(other, "", len(RAW))


def test_many_threads_share_a_packer() -> None:
    packer = sealing()

    def there_and_back(number: int) -> bool:
        raw = RAW[number:] * (number % 5 + 1)
        return packer.unpack(packer.pack(raw), "one", len(raw)) == raw

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(there_and_back, range(200)))


def test_the_stock_program_unpacks_it(tmp_path: Path) -> None:
    stored = tmp_path / "000000.zst"
    stored.write_bytes(ZstdPacker().pack(RAW))
    unpacked = subprocess.run(["zstd", "-dc", stored], capture_output=True, check=True).stdout
    assert unpacked == RAW


def test_nothing_shows_a_key() -> None:
    packer = sealing()
    assert KEYS["one"].hex() not in repr(packer) + repr(vars(packer))
