"""How a login reaches the database, and the one shape that every kind of server has."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from types import MappingProxyType
from typing import Protocol

from psycopg.conninfo import make_conninfo


class Role(Enum):
    """Who connects. Grants come with the migrations; the owner owns the schema and applies them."""

    OWNER = "holdfast"
    CONTROLLER = "holdfast_controller"
    SITE = "holdfast_site"
    CONSOLE = "holdfast_console"
    SENDER = "holdfast_sender"
    BACKUP = "holdfast_backup"
    LEDGER = "holdfast_ledger"
    RECOVERY = "holdfast_recovery"


@dataclass(frozen=True, slots=True)
class Conninfo:
    """Connection parameters as libpq names them, without and apart from the password.

    `repr` never shows the password; `dsn` and `parameters` contain it and are for the driver only.
    `assume` is a role to take on after logging in, where one login serves several roles (an external server).
    """

    role: Role
    settings: Mapping[str, str]
    password: str | None = field(default=None, repr=False)
    assume: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "settings", MappingProxyType(dict(self.settings)))

    @property
    def parameters(self) -> dict[str, str]:
        """Keyword arguments for `psycopg.connect`."""
        known = dict(self.settings)
        if self.password is not None:
            known["password"] = self.password
        return known

    @property
    def dsn(self) -> str:
        """The same as one string. Never log it."""
        return make_conninfo("", **self.parameters)

    def with_settings(self, **settings: str) -> "Conninfo":
        """The same login with other parameters, such as `dbname` or `host`."""
        return replace(self, settings={**self.settings, **settings})


class Server(Protocol):
    """A database server that Holdfast may use: the embedded one or the operator's."""

    async def start(self) -> None:
        """Make it ready to be connected to, or raise a DatabaseError that says why not. Idempotent."""
        ...

    async def stop(self) -> None:
        """Let go of it. Ends the embedded server; leaves an external one alone."""
        ...

    def conninfo(self, role: Role) -> Conninfo:
        """How `role` connects to Holdfast's database. Valid after `start`."""
        ...
