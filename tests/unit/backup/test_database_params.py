from pathlib import Path

import pytest

from holdfast.bootstrap.backup.sources import params_for, source_for
from holdfast.estate.backup import Database, DatabaseConnection
from holdfast.estate.errors import SecretError


def declared(**settings: object) -> DatabaseConnection:
    return DatabaseConnection.model_validate({"host": "db.example.org", **settings})


def test_what_is_not_declared_is_the_safest(tmp_path: Path) -> None:
    params = params_for(declared(), tmp_path / "holdfast.yaml")
    assert params.pop("sslrootcert")
    assert params == {
        "host": "db.example.org",
        "port": "5432",
        "user": "holdfast",
        "dbname": "postgres",
        "sslmode": "verify-full",
    }


def test_authorities_lie_beside_the_estate_file(tmp_path: Path) -> None:
    params = params_for(declared(ca_file="ca.pem", tls="verify-ca"), tmp_path / "holdfast.yaml")
    assert (params["sslmode"], params["sslrootcert"]) == ("verify-ca", str(tmp_path / "ca.pem"))


@pytest.mark.parametrize(("tls", "sslmode"), [("off", "disable"), ("require", "require")])
def test_without_verification_no_authority_is_named(tmp_path: Path, tls: str, sslmode: str) -> None:
    params = params_for(declared(tls=tls), tmp_path / "holdfast.yaml")
    assert params["sslmode"] == sslmode
    assert "sslrootcert" not in params


def test_a_sockets_folder_needs_no_tls(tmp_path: Path) -> None:
    params = params_for(declared(host="/run/postgresql"), tmp_path / "holdfast.yaml")
    assert (params["host"], params["sslmode"]) == ("/run/postgresql", "disable")
    assert "sslrootcert" not in params


def test_the_password_is_read_from_where_it_is_and_never_shown(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("a secret\n", encoding="ascii")
    (tmp_path / "password").chmod(0o600)
    connection = declared(password="file:password")
    assert params_for(connection, tmp_path / "holdfast.yaml")["password"] == "a secret"
    database = Database(name="Main", cluster="print", connection=connection, copies={"eu": {}})
    assert "a secret" not in repr(source_for(database, tmp_path / "holdfast.yaml"))


def test_a_password_that_is_gone_is_said(tmp_path: Path) -> None:
    with pytest.raises(SecretError, match="no such file"):
        params_for(declared(password="file:password"), tmp_path / "holdfast.yaml")
