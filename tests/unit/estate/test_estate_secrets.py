import os
from pathlib import Path

import pytest

from holdfast.estate.errors import SecretError
from holdfast.estate.secrets import resolve
from holdfast.estate.values import SecretRef


def env(name: str, **environ: str) -> str:
    return resolve(SecretRef(source="env", name=name), base=Path(), environ=environ)


def file(base: Path, name: str = "secret") -> str:
    return resolve(SecretRef(source="file", name=name), base=base, environ={})


def written(base: Path, content: bytes, mode: int = 0o600) -> Path:
    (base / "secret").write_bytes(content)
    (base / "secret").chmod(mode)
    return base


@pytest.mark.parametrize(
    ("content", "secret"),
    [(b"s3cret\n", "s3cret"), (b"s3cret\r\n", "s3cret"), (b" a\n\n", " a\n"), ("ü".encode(), "ü")],
)
def test_one_line_end_is_not_part_of_the_secret(tmp_path: Path, content: bytes, secret: str) -> None:
    assert file(written(tmp_path, content)) == secret
    assert env("A", A=content.decode()) == secret


def test_an_absolute_name_and_a_link_to_a_file(tmp_path: Path) -> None:
    written(tmp_path, b"x")
    (tmp_path / "link").symlink_to("secret")
    assert file(Path("/nowhere"), str(tmp_path / "secret")) == "x"
    assert file(tmp_path, "link") == "x"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o644])
def test_a_file_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(SecretError, match="other accounts") as raised:
        file(written(tmp_path, b"s3cret", mode))
    assert "chmod 600" in raised.value.hint


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"\n", "empty"),
        (b"s3cret\0", "NUL"),
        (b"s3cret\xff", "not UTF-8"),
        (b"s3cret" + b"x" * 65_536, "larger than 64 KiB"),
    ],
)
def test_a_file_that_holds_no_secret_is_refused_without_showing_it(
    tmp_path: Path, content: bytes, message: str
) -> None:
    with pytest.raises(SecretError, match=message) as raised:
        file(written(tmp_path, content))
    error = raised.value
    assert "s3cret" not in f"{error} {error.hint} {error!r} {error.__cause__!r}"
    assert error.hint


def test_the_largest_secret(tmp_path: Path) -> None:
    assert len(file(written(tmp_path, b"x" * 65_536))) == 65_536


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SecretError, match="env:A: there is no such environment variable") as raised:
        env("A", B="x")
    assert raised.value.hint == "set A where holdfast runs"
    with pytest.raises(SecretError, match="env:A: empty"):
        env("A", A="")
    with pytest.raises(SecretError, match="larger"):
        env("A", A="x" * 65_537)
    with pytest.raises(SecretError, match="file:secret: there is no such file") as raised:
        file(tmp_path)
    assert str(tmp_path) in raised.value.hint
    with pytest.raises(SecretError, match="cannot be read"):
        file(tmp_path, "x" * 300)


def test_a_folder_and_a_pipe_are_no_secrets(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    for name in (".", "pipe"):
        with pytest.raises(SecretError, match="not a file"):
            file(tmp_path, name)
