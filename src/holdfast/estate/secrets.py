"""Secrets, from where the estate says they are. Nothing here ever puts a secret into a message."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from holdfast.estate.errors import SecretError
from holdfast.estate.values import SecretRef

MAX_SECRET_BYTES = 64 * 1024


def resolve(ref: SecretRef, *, base: Path, environ: Mapping[str, str]) -> str:
    """The secret that `ref` names, without the line end that editors add.

    A relative file name begins at `base`, the folder of the estate file. Raises SecretError when the secret
    is missing, empty, larger than 64 KiB, not UTF-8 text, or in a file that others may read.
    """
    if ref.source == "env":
        return _from_environment(ref.name, environ)
    return _from_file(ref.name, base)


def _from_environment(name: str, environ: Mapping[str, str]) -> str:
    shown = f"env:{name}"
    secret = environ.get(name)
    if secret is None:
        raise SecretError(
            f"{shown}: there is no such environment variable", hint=f"set {name} where holdfast runs"
        )
    return _usable(secret, shown, hint=f"give {name} a value")


def _from_file(name: str, base: Path) -> str:
    shown = f"file:{name}"
    path = base / name
    try:
        # Non-blocking: opening a named pipe must not wait for a writer that never comes.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise SecretError(f"{shown}: there is no such file", hint=f"looked for {path}") from error
    except OSError as error:
        raise SecretError(f"{shown}: cannot be read: {error.strerror}", hint=f"looked at {path}") from error
    except ValueError as error:
        raise SecretError(f"{shown!r}: not a possible file name") from error
    try:
        content = _private_content(descriptor, path, shown)
    finally:
        os.close(descriptor)
    if len(content) > MAX_SECRET_BYTES:
        raise SecretError(
            f"{shown}: larger than {MAX_SECRET_BYTES // 1024} KiB", hint="is it the right file?"
        )
    try:
        text = content.decode()
    except UnicodeDecodeError:
        # Without a cause: the original error carries the bytes.
        raise SecretError(f"{shown}: not UTF-8 text", hint="is it the right file?") from None
    return _usable(text, shown, hint=f"write the secret into {path}")


def _private_content(descriptor: int, path: Path, shown: str) -> bytes:
    """What is in the open file, one byte more than is allowed at most."""
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        raise SecretError(f"{shown}: not a file", hint=f"looked at {path}")
    if mode & 0o077:
        hint = f"chmod 600 {path} (a Kubernetes secret: defaultMode 0400)"
        raise SecretError(f"{shown}: other accounts may read or change it", hint=hint)
    content = b""
    while chunk := os.read(descriptor, MAX_SECRET_BYTES + 1 - len(content)):
        content += chunk
    return content


def _usable(text: str, shown: str, *, hint: str) -> str:
    secret = text.removesuffix("\n").removesuffix("\r")
    if not secret:
        raise SecretError(f"{shown}: empty", hint=hint)
    if "\0" in secret:
        raise SecretError(f"{shown}: holds a NUL character", hint="is it the right file?")
    if len(secret.encode("utf-8", "surrogateescape")) > MAX_SECRET_BYTES:
        raise SecretError(f"{shown}: larger than {MAX_SECRET_BYTES // 1024} KiB")
    return secret
