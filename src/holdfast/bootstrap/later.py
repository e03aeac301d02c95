"""Modules that are loaded when something of them is wanted: a command does not wait for what others need."""

from importlib import import_module
from typing import Any


class Later:
    """Stands for the module of that name: has what it has, and loads it at the first use."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, what: str) -> Any:
        return getattr(import_module(self._name), what)
