"""The estate file as every command reads it: with the condition language of the availability context."""

import os
from pathlib import Path

from holdfast.availability.conditions import validate
from holdfast.estate.loader import load_estate
from holdfast.estate.model import Estate, SecretRef
from holdfast.estate.secrets import resolve


def read_estate(path: Path) -> Estate:
    """The estate at `path`; raises EstateError with everything that is wrong with it."""
    return load_estate(path, validate)


def secret_of(config: Path, ref: SecretRef) -> str:
    """The secret that `ref` names. Files are looked for beside the estate file."""
    return resolve(ref, base=config.absolute().parent, environ=os.environ)
