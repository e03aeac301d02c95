"""The database that the estate asks for: the operator's, or one of our own under the data directory."""

import json
from pathlib import Path

from holdfast.adapters.postgres.conninfo import Conninfo, Role, Server
from holdfast.adapters.postgres.server.embedded import EmbeddedPostgres
from holdfast.adapters.postgres.server.external import ExternalPostgres
from holdfast.bootstrap.estates import secret_of
from holdfast.estate.model import Estate


def server_for(estate: Estate, config: Path, data_dir: Path) -> Server:
    """The server that `estate` names. Nothing is started yet."""
    if estate.postgres.url is not None:
        return ExternalPostgres(secret_of(config, estate.postgres.url))
    bin_dir = None if estate.postgres.bin_dir is None else Path(estate.postgres.bin_dir)
    return EmbeddedPostgres(data_dir / "postgres", bin_dir=bin_dir, within=data_dir)


def is_embedded(server: Server) -> bool:
    return isinstance(server, EmbeddedPostgres)


def packed(conninfo: Conninfo) -> bytes:
    """A login as one line, to be handed to a child over a pipe: never in arguments, environment or files."""
    fields = {
        "role": conninfo.role.value,
        "settings": dict(conninfo.settings),
        "password": conninfo.password,
        "assume": conninfo.assume,
    }
    return json.dumps(fields).encode() + b"\n"


def unpacked(line: bytes) -> Conninfo:
    """The login that `packed` made a line of."""
    fields = json.loads(line)
    return Conninfo(Role(fields["role"]), fields["settings"], fields["password"], fields["assume"])
