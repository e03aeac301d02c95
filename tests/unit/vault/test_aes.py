import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.adapters.vault.aes import AesVault, VaultError, fresh_key

VAULT = AesVault(bytes(range(32)))


@given(text=st.text(max_size=300), purpose=st.text(max_size=20))
def test_what_is_sealed_opens_for_its_purpose_only(text: str, purpose: str) -> None:
    sealed = VAULT.seal(text, purpose)
    assert VAULT.open(sealed, purpose) == text
    assert VAULT.seal(text, purpose) != sealed
    with pytest.raises(VaultError):
        VAULT.open(sealed, purpose + "?")


@given(place=st.integers(0, 40), bit=st.integers(0, 7))
def test_one_altered_bit_is_noticed(place: int, bit: int) -> None:
    sealed = bytearray(VAULT.seal("anna@example.com", "address"))
    sealed[place] ^= 1 << bit
    with pytest.raises(VaultError):
        VAULT.open(bytes(sealed), "address")


@pytest.mark.parametrize("sealed", [b"", b"\x01", b"\x01" + bytes(12), bytes(60)])
def test_what_nobody_sealed_does_not_open(sealed: bytes) -> None:
    with pytest.raises(VaultError):
        VAULT.open(sealed, "address")


def test_another_key_neither_opens_nor_finds() -> None:
    other = AesVault.from_text(fresh_key())
    with pytest.raises(VaultError):
        other.open(VAULT.seal("anna@example.com", "address"), "address")
    assert other.fingerprint("a", "address") != VAULT.fingerprint("a", "address")


def test_fingerprints_are_alike_for_the_same_text_and_purpose_alone() -> None:
    assert VAULT.fingerprint("a", "address") == VAULT.fingerprint("a", "address")
    assert len({VAULT.fingerprint(*each) for each in [("a", "x"), ("b", "x"), ("a", "y"), ("", "a\0x")]}) == 4


@pytest.mark.parametrize("text", ["", "short", "!" * 44, "QUJD"])
def test_a_bad_key_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(VaultError) as refused:
        AesVault.from_text(text)
    assert not text or text not in str(refused.value)
