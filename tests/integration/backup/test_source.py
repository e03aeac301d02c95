"""The replication protocol, against real servers of both ends of what is supported."""

import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.installation import eventually
from tests.protected import DEBIAN_15, OLDER, Protected

from holdfast.adapters.postgres.replication.connection import Connection
from holdfast.adapters.postgres.replication.source import PostgresSource
from holdfast.backup.errors import IncrementRefused, SourceAway, SourceRefused
from holdfast.backup.lsn import Timeline
from holdfast.backup.ports import ArchiveBegins, BackupBegins, BackupEnds, ManifestBegins


@pytest.fixture(scope="module", params=[None, DEBIAN_15, OLDER[14]], ids=["packaged", "debian-15", "oldest"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Protected]:
    started = Protected(tmp_path_factory.mktemp("source"), bin_dir=request.param).start()
    yield started
    started.remove()


@pytest.fixture
def source(server: Protected) -> PostgresSource:
    return PostgresSource(server.params)


def test_a_server_says_who_it_is(server: Protected, source: PostgresSource) -> None:
    before = server.value("SELECT clock_timestamp()")
    told = source.identify()
    after = server.value("SELECT clock_timestamp()")
    assert told.system_id == server.value("SELECT system_identifier FROM pg_control_system()")
    assert told.timeline == 1
    assert told.segment_bytes == 16 * 1024 * 1024
    assert told.server_version == int(server.value("SHOW server_version_num"))
    assert told.flushed <= server.value("SELECT pg_current_wal_flush_lsn() - '0/0'")
    assert told.at is not None
    assert before <= told.at <= after


def test_where_only_replication_is_allowed_the_clock_is_unknown(tmp_path: Path) -> None:
    server = Protected(tmp_path / "server").start()
    try:
        rules = server.folder / "hba.conf"
        ours = "host replication holdfast 127.0.0.1/32 scram-sha-256\nhost all holdfast 127.0.0.1/32 reject\n"
        rules.write_text(ours + rules.read_text(encoding="utf-8"), encoding="utf-8")
        server.sql("SELECT pg_reload_conf()")
        eventually(lambda: PostgresSource(server.params).identify().at is None, "the rules are in force")
    finally:
        server.remove()


def test_a_slot_is_made_once_found_again_and_dropped(source: PostgresSource) -> None:
    assert source.slot("holdfast_main") is None
    made = source.make_slot("holdfast_main")
    assert made.restart is not None
    assert source.make_slot("holdfast_main") == made
    assert source.slot("holdfast_main") == made
    source.drop_slot("holdfast_main")
    source.drop_slot("holdfast_main")
    assert source.slot("holdfast_main") is None


@pytest.mark.parametrize("name", ["", "Upper", 'a"; DROP_REPLICATION_SLOT x', "a" * 64, "ü"])
def test_no_slot_has_a_name_that_is_none(source: PostgresSource, name: str) -> None:
    with pytest.raises(SourceRefused, match="cannot be a slot's name"):
        source.make_slot(name)


def test_a_heartbeat_is_a_commit_that_leaves_nothing_behind(
    server: Protected, source: PostgresSource
) -> None:
    before = server.value("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
    flushed = source.identify().flushed
    source.beat()
    assert server.value("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint") > before
    assert source.identify().flushed > flushed


def test_a_wrong_password_is_refused_and_never_shown(server: Protected) -> None:
    source = PostgresSource({**server.params, "password": "not-this-one"})
    with pytest.raises(SourceRefused, match="password authentication failed") as caught:
        source.identify()
    assert caught.value.__cause__ is None
    assert "not-this-one" not in f"{caught.value!r} {caught.value.hint} {source!r}"


def test_a_login_without_replication_is_refused(server: Protected) -> None:
    server.sql("DROP ROLE IF EXISTS nobody_much; CREATE ROLE nobody_much LOGIN PASSWORD 'x'")
    source = PostgresSource({**server.params, "user": "nobody_much", "password": "x"})
    with pytest.raises(SourceRefused), source.base_backup(label="x") as events:
        next(events)


def test_a_server_that_is_not_there_is_away(server: Protected) -> None:
    with pytest.raises(SourceAway, match="away"):
        PostgresSource({**server.params, "port": "1"}).identify()


def test_a_backup_comes_in_order(server: Protected, source: PostgresSource) -> None:
    signs: list[object] = []
    count = 0
    with source.base_backup(label='it\'s a "label"') as events:
        for event in events:
            if isinstance(event, memoryview | bytes):
                count += len(event)
            else:
                signs.append(event)
    begins, archive, manifest, ends = signs
    assert isinstance(begins, BackupBegins)
    assert isinstance(ends, BackupEnds)
    assert archive == ArchiveBegins("base.tar", "")
    assert isinstance(manifest, ManifestBegins)
    assert begins.start_lsn < ends.stop_lsn
    assert begins.estimated_bytes is not None
    assert abs(begins.estimated_bytes - count) < count / 2


def test_a_connection_that_is_cut_in_the_middle_is_away(server: Protected, source: PostgresSource) -> None:
    with source.base_backup(label="cut") as events:
        next(events)
        assert server.value("SELECT pg_terminate_backend(pid) FROM pg_stat_replication")
        with pytest.raises(SourceAway):
            list(events)


def test_a_server_that_falls_silent_is_away(server: Protected) -> None:
    with Connection(server.params) as connection:
        older = server.binaries.major < 15
        connection.send("BASE_BACKUP FAST NOWAIT" if older else "BASE_BACKUP (CHECKPOINT 'fast', WAIT false)")
        for _ in range(3):
            connection.result()
        sender = server.value("SELECT pid FROM pg_stat_replication")
        os.kill(sender, signal.SIGSTOP)
        try:
            with pytest.raises(SourceAway, match="has sent nothing"):
                list(connection.copied(silence_s=0.3))
        finally:
            os.kill(sender, signal.SIGCONT)


def test_a_backup_that_is_given_up_lets_go_of_the_server(server: Protected, source: PostgresSource) -> None:
    with source.base_backup(label="given up") as events:
        next(events)
    gone = "SELECT count(*) = 0 FROM pg_stat_replication"
    eventually(lambda: server.value(gone), "the server stopped sending")


def test_a_server_before_17_refuses_an_increment(server: Protected, source: PostgresSource) -> None:
    if server.binaries.major >= 17:
        with (
            pytest.raises(IncrementRefused, match="manifest"),
            source.base_backup(label="x", parent_manifest=b"no manifest") as events,
        ):
            next(events)
    else:
        with (
            pytest.raises(IncrementRefused, match=f"{server.binaries.major} takes no incremental"),
            source.base_backup(label="x", parent_manifest=b"{}") as events,
        ):
            next(events)


def test_a_promoted_standby_tells_its_history(server: Protected, tmp_path: Path) -> None:
    standby = server.standby(tmp_path / "standby")
    try:
        source = PostgresSource(standby.params)
        assert source.identify().system_id == PostgresSource(server.params).identify().system_id
        standby.promote()
        eventually(lambda: source.identify().timeline == 2, "timeline 2")
        assert source.timeline_history(Timeline(2)).split()[0] == "1"
        with pytest.raises(SourceRefused):
            source.timeline_history(Timeline(7))
    finally:
        standby.remove()


@pytest.fixture(scope="module")
def with_tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Protected, Path]]:
    """Debian's server, since the packaged one has no TLS, and the folder with `ca.pem` and `stranger.pem`."""
    folder = tmp_path_factory.mktemp("tls")
    authority, certificate, key = _certificates("localhost")
    stranger, _, _ = _certificates("localhost")
    files = {"server.crt": certificate, "server.key": key, "ca.pem": authority, "stranger.pem": stranger}
    for name, content in files.items():
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o600)
    settings = {"ssl": "on", "ssl_cert_file": str(folder / "server.crt")}
    settings["ssl_key_file"] = str(folder / "server.key")
    server = Protected(folder / "server", bin_dir=DEBIAN_15, settings=settings).start()
    yield server, folder
    server.remove()


def by_name(server: Protected, authority: Path, host: str = "localhost") -> PostgresSource:
    params = {**server.params, "host": host, "hostaddr": "127.0.0.1", "sslmode": "verify-full"}
    return PostgresSource({**params, "sslrootcert": str(authority)})


def test_tls_is_verified_down_to_the_name(with_tls: tuple[Protected, Path]) -> None:
    server, folder = with_tls
    assert by_name(server, folder / "ca.pem").identify().timeline == 1
    with pytest.raises(SourceRefused, match=r"certificate verify failed|signature failure"):
        by_name(server, folder / "stranger.pem").identify()
    with pytest.raises(SourceRefused, match="does not match host name"):
        by_name(server, folder / "ca.pem", host="elsewhere").identify()


def test_a_backup_comes_whole_through_tls(with_tls: tuple[Protected, Path]) -> None:
    server, folder = with_tls
    source = by_name(server, folder / "ca.pem")
    for _ in range(3):
        with source.base_backup(label="by TLS") as events:
            *_, last = events
        assert isinstance(last, BackupEnds)


def test_a_server_without_tls_is_refused_where_tls_is_declared(server: Protected) -> None:
    with pytest.raises(SourceRefused, match="does not support SSL"):
        PostgresSource({**server.params, "sslmode": "require"}).identify()


def _certificates(host: str) -> tuple[bytes, bytes, bytes]:
    """An authority, and a certificate by it with its key, in PEM."""
    now = datetime.now(UTC)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]) for text in ("an authority", host)]

    def signed(subject: int) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(names[subject])
            .issuer_name(names[0])
            .public_key(keys[subject].public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=subject == 0, path_length=None), critical=True)
        )

    authority = signed(0).sign(keys[0], hashes.SHA256())
    alternative = x509.SubjectAlternativeName([x509.DNSName(host)])
    certificate = signed(1).add_extension(alternative, critical=False).sign(keys[0], hashes.SHA256())
    encoding = serialization.Encoding.PEM
    key = keys[1].private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return authority.public_bytes(encoding), certificate.public_bytes(encoding), key
