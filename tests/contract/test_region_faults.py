"""Stores when something is wrong: kills, full disks, answers that are lost, refusals, silence, locks."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.held import DB, at
from tests.proven import contents, put_backup, put_wal
from tests.stores import Azurite, Place, S3Server, azurite, s3_server
from tests.web_faults import Faulty, faulty_store

from holdfast.adapters.memory.regions import MemoryRegion
from holdfast.adapters.objectstore import regions
from holdfast.adapters.objectstore.folder import UNFINISHED, FolderRegion
from holdfast.adapters.objectstore.regions import open_region
from holdfast.adapters.packing.authentic import AuthenticRegion
from holdfast.backup.copies.copying import Copier, lacking
from holdfast.backup.copies.scrubbing import Harm, Scrubber
from holdfast.backup.errors import AlreadyThere, RegionAway, RegionRefused
from holdfast.backup.ports import Region
from holdfast.backup.recoverable.holdings import holdings_of
from holdfast.backup.take.taking import Silent
from holdfast.estate.backup import Keep
from holdfast.kernel.clock import ManualClock


def keys_of(region: Region) -> list[str]:
    return [each.key for each in region.listed("")]


# --- folders

PUTTING = """
import sys
from pathlib import Path
from holdfast.adapters.objectstore.folder import FolderRegion
from holdfast.backup.errors import AlreadyThere
region = FolderRegion("eu", Path(sys.argv[1]))
print("ready", flush=True)
for number in range(100000):
    content = b"%d" % number * 40000
    try:
        region.put(f"wal/{number % 50}/{number}", content)
    except AlreadyThere:
        continue
    print(number, flush=True)
"""


def test_killed_at_any_moment_what_was_acknowledged_is_whole_and_nothing_half_is_seen(tmp_path: Path) -> None:
    acknowledged: set[int] = set()
    for turn in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", PUTTING, tmp_path], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        with process.stdout as told:
            assert told.readline() == "ready\n"
            for _ in range(3 + turn * 5):
                acknowledged.add(int(told.readline()))
            process.send_signal(signal.SIGKILL)
            process.wait()
            acknowledged |= {int(line) for line in told.read().splitlines(keepends=True) if line[-1] == "\n"}
    region = FolderRegion("eu", tmp_path)
    found = {int(key.rpartition("/")[2]) for key in keys_of(region)}
    assert acknowledged <= found
    for number in found:
        assert region.get(f"wal/{number % 50}/{number}") == b"%d" % number * 40000
    # Whoever puts next removes what the killed ones left.
    (tmp_path / UNFINISHED / "killed").write_bytes(b"half")
    FolderRegion("eu", tmp_path).put("new", b"x")
    assert list((tmp_path / UNFINISHED).iterdir()) == []


def test_processes_that_put_the_same_keys_do_not_harm_each_other(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", PUTTING, tmp_path], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    won: list[int] = []
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    while len(keys_of(FolderRegion("eu", tmp_path))) < 60:
        time.sleep(0.05)
    for process in processes:
        process.kill()
        process.wait()
        assert process.stdout is not None
        with process.stdout as told:
            won += [int(line) for line in told.read().splitlines(keepends=True) if line[-1] == "\n"]
    assert len(won) == len(set(won)), "two were told that they were the first"


def test_emptied_folders_go_while_others_put_into_them(tmp_path: Path) -> None:
    regions = [FolderRegion("eu", tmp_path) for _ in range(4)]

    def churn(number: int) -> None:
        for turn in range(40):
            key = f"db/wal/{turn % 2}/{number}-{turn}"
            regions[number].put(key, b"x")
            assert regions[number].get(key) == b"x"
            regions[number].delete([key])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(churn, range(4)))
    assert [each.name for each in tmp_path.iterdir()] == [UNFINISHED]


def test_a_full_disk_takes_nothing_and_keeps_nothing_half(tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-c", FILLING, tmp_path], capture_output=True, text=True, check=True
    ).stdout
    assert told.splitlines() == ["RegionRefused: there is no space left", "True", "b'first'", "['a'] []"]


# A limit on the size of files stands for the disk's, so that no rights are needed to try it.
FILLING = """
import resource, sys
from pathlib import Path
from holdfast.adapters.objectstore.folder import FolderRegion
from holdfast.backup.errors import RegionError
root = Path(sys.argv[1])
region = FolderRegion("eu", root)
region.put("a", b"first")
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))
try:
    region.put("b", bytes(2_000_000))
except RegionError as error:
    print(type(error).__name__ + str(error).removeprefix("eu"))
    print("room" in error.hint)
print(region.get("a"))
print([each.key for each in region.listed("")], list((root / ".unfinished").iterdir()))
"""


def test_a_folder_that_cannot_be_made_is_away_when_it_is_asked(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    region = open_region("eu", f"file://{tmp_path}/file/store", {})
    with pytest.raises(RegionAway) as away:
        region.put("a", b"x")
    assert "rights" in away.value.hint


def test_a_folder_that_vanished_is_away_and_not_made_anew(tmp_path: Path) -> None:
    root = tmp_path / "disk"
    region = open_region("eu", f"file://{root}", {}, begun=tmp_path / "begun")
    region.put("a", b"x")
    root.rename(tmp_path / "unplugged")
    for ask in (
        lambda: region.put("b", b"x"),
        lambda: region.get("a"),
        lambda: list(region.listed("")),
        lambda: region.delete(["a"]),
    ):
        with pytest.raises(RegionAway):
            ask()
    assert not root.exists()
    (tmp_path / "unplugged").rename(root)
    region.put("b", b"x")
    assert keys_of(region) == ["a", "b"]


def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    region = open_region("eu", f"file://{tmp_path}/store", {}, begun=tmp_path / "begun")
    region.put("db/wal/x", b"rows of customers")
    for path in (tmp_path / "store").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0
    assert (tmp_path / "store").stat().st_mode & 0o077 == 0


def test_links_do_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"x")
    (tmp_path / "store").mkdir()
    region = open_region("eu", f"file://{tmp_path}/store", {})
    (tmp_path / "store" / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(RegionRefused):
        region.get("link")
    assert keys_of(region) == []


@pytest.mark.parametrize(
    ("to", "options", "lock"),
    [
        ("file:///tmp/x", {"region": "x"}, "none"),
        ("file:///tmp/x", {}, "compliance"),
        ("s3://bucket", {"nonsense": "x"}, "none"),
        ("az://container", {"account_name": "a", "account_key": "hunter2hunter2!"}, "none"),
        ("gs://bucket", {"google_service_account": "/nowhere/key.json"}, "none"),
        ("az://container", {"account_name": "a"}, "compliance"),
        ("gopher://bucket", {}, "none"),
    ],
)
def test_what_cannot_be_meant_is_refused_at_once(to: str, options: dict[str, str], lock: str) -> None:
    with pytest.raises(RegionRefused) as refused:
        open_region("eu", to, options, lock)  # type: ignore[arg-type]
    assert "hunter2" not in str(refused.value)
    assert refused.value.hint


# --- stores that are spoken to


@pytest.fixture
def faulty() -> Iterator[Faulty]:
    with faulty_store() as store:
        yield store


def opened(store: Faulty, secret: str = "a-very-secret-key") -> Region:
    return open_region("eu", "s3://bucket/prefix", {**store.options, "secret_access_key": secret})


def test_one_whose_answer_was_lost_knows_its_own_object_again(faulty: Faulty) -> None:
    region = opened(faulty)
    faulty.lose_answers = 1
    region.put("a", b"mine")
    assert region.get("a") == b"mine"
    assert faulty.puts == 2
    # But what another put meanwhile is not taken for ours.
    faulty.lose_answers = 1
    faulty.swap_for = b"another's"
    with pytest.raises(AlreadyThere):
        region.put("b", b"mine")
    assert region.get("b") == b"another's"


def test_a_hiccup_is_tried_again_and_one_that_is_away_is_given_up_soon(faulty: Faulty) -> None:
    region = opened(faulty)
    faulty.failing = 2
    region.put("a", b"x")
    faulty.failing = 1000
    for ask in (
        lambda: region.put("b", b"x"),
        lambda: region.replace("b", b"x"),
        lambda: region.get("a"),
        lambda: region.delete(["a"]),
        lambda: list(region.listed("")),
    ):
        before = faulty.requests
        with pytest.raises(RegionAway):
            ask()
        assert 1 <= faulty.requests - before <= 3
    faulty.failing = 0
    assert region.get("a") == b"x"


def test_a_refusal_is_a_matter_for_a_person_and_tells_no_secret(faulty: Faulty) -> None:
    region = opened(faulty, "hunter2hunter2")
    faulty.refusing = True
    with pytest.raises(RegionRefused) as refused:
        region.put("a", b"x")
    assert refused.value.hint
    assert "hunter2" not in str(refused.value)
    assert "\n" not in str(refused.value)
    assert faulty.requests == 1


def test_a_full_store_is_refused_and_says_so(faulty: Faulty) -> None:
    region = opened(faulty)
    faulty.full = True
    with pytest.raises(RegionRefused) as refused:
        region.put("a", b"x")
    assert "room" in refused.value.hint


@pytest.mark.parametrize(
    ("told", "full"),
    [
        ("Error performing PUT in 1.170507ms - Server returned non-2xx status code: 503 Service", False),
        ("Error performing PUT in 1.2ms - Server returned non-2xx status code: 507 Insufficient", True),
        ("Client error with status 403: <Code>QuotaExceeded</Code>", True),
    ],
)
def test_full_is_told_by_the_status_and_by_no_other_number(told: str, full: bool) -> None:
    assert (regions._FULL.search(told) is not None) == full


def test_nobody_at_the_address_is_away() -> None:
    options = {"access_key_id": "a", "secret_access_key": "b", "region": "x", "allow_http": "true"}
    region = open_region("eu", "s3://bucket", {**options, "endpoint": "http://127.0.0.1:1"})
    with pytest.raises(RegionAway):
        region.get("a")
    with pytest.raises(RegionAway):
        open_region("eu", "s3://bucket", {**options, "endpoint": "http://127.0.0.1:1"}, "compliance").lock(
            "a", datetime.now(UTC)
        )


# --- locks


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


def locked(place: Place, mode: str = "compliance") -> Region:
    return open_region("eu", place.to, place.options, mode)  # type: ignore[arg-type]


def test_nobody_deletes_what_is_locked_and_locks_only_become_longer(s3: S3Server) -> None:
    place = s3.bucket(locks=True)
    region = locked(place)
    region.put("a", b"kept")
    region.put("b", b"free")
    soon, late = (datetime.now(UTC).replace(microsecond=0) + timedelta(days=days) for days in (1, 30))
    assert region.lock("a", late)
    assert region.lock("a", soon)
    assert region.locked_until("a") == late
    assert region.locked_until("b") is None
    with pytest.raises(RegionRefused):
        region.delete(["a", "b"])
    assert keys_of(region) == ["a"]
    assert region.get("a") == b"kept"
    # Nor does anybody else with all rights.
    bucket, key = place.to.removeprefix("s3://").split("/", 1)
    with closing(s3.client()) as client:
        (version,) = client.list_object_versions(Bucket=bucket, Prefix=f"{key}/a")["Versions"]
        with pytest.raises(client.exceptions.ClientError):
            client.delete_object(
                Bucket=bucket,
                Key=f"{key}/a",
                VersionId=version["VersionId"],
                BypassGovernanceRetention=True,
            )
        # What was hidden by a plain delete is put back where it was.
        client.delete_object(Bucket=bucket, Key=f"{key}/a")
    assert keys_of(region) == []
    region.put("a", b"kept")
    assert region.get("a") == b"kept"


def test_in_a_bucket_with_locks_nothing_stays_below_what_was_deleted(s3: S3Server) -> None:
    place = s3.bucket(locks=True)
    region = locked(place, "governance")
    for number in range(30):
        region.put(f"wal/{number:02}/x", b"one")
    region.replace("wal/03/x", b"two")
    region.delete([f"wal/{number:02}/x" for number in range(0, 30, 2)] + ["wal/03/x"])
    bucket = place.to.removeprefix("s3://").split("/")[0]
    with closing(s3.client()) as client:
        left = client.list_object_versions(Bucket=bucket)
    assert len(left["Versions"]) == 14
    assert not left.get("DeleteMarkers")


def test_a_lock_where_there_is_no_object_or_no_object_lock_is_said_so(s3: S3Server) -> None:
    region = locked(s3.bucket(locks=True))
    with pytest.raises(FileNotFoundError):
        region.lock("never/was", datetime.now(UTC) + timedelta(days=1))
    plain = locked(s3.bucket())
    plain.put("a", b"x")
    with pytest.raises(RegionRefused) as refused:
        plain.lock("a", datetime.now(UTC) + timedelta(days=1))
    assert "a-very-secret-key" not in str(refused.value)


def test_a_damaged_object_that_is_locked_is_healed_above_and_locked_again(s3: S3Server) -> None:
    region, other = locked(s3.bucket(locks=True)), MemoryRegion("us")
    full = put_backup([other], 1)
    for key, content in contents(other).items():
        region.put(key, content if key != full.index.key else b"damaged")
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)
    region.lock(full.index.key, until)
    (found,) = Scrubber(region, [other], ManualClock(at(9)), Silent()).scrub(DB, heal=True).harmed
    assert (found.key, found.healed_from) == (full.index.key, "us")
    assert region.get(full.index.key) == other.get(full.index.key)
    assert region.locked_until(full.index.key) == until


@pytest.mark.parametrize("sealed_with", ["", "new"])
def test_in_a_locked_bucket_nothing_that_an_intruder_deletes_or_overwrites_is_lost(
    s3: S3Server, sealed_with: str
) -> None:
    place = s3.bucket(locks=True)
    stored, memory = locked(place), MemoryRegion("memory")
    region = AuthenticRegion(stored, {"new": bytes(32)} if sealed_with else {}, sealed_with)
    full = put_backup([region, memory], 1)
    put_wal([region, memory], 2, sealed_with=sealed_with)
    before = contents(memory)
    for key in before:
        region.lock(key, datetime.now(UTC) + timedelta(days=3))
    bucket, prefix = place.to.removeprefix("s3://").split("/", 1)
    with closing(s3.client()) as client:
        for number, key in enumerate(keys_of(stored)):
            name = f"{prefix}/{key}"
            if number % 3:
                client.put_object(Bucket=bucket, Key=name, Body=b"your files are encrypted")
            if number % 3 < 2:
                client.delete_object(Bucket=bucket, Key=name)
    clock = ManualClock(at(9))
    found = Scrubber(region, [], clock, Silent()).scrub(DB)
    assert {each.harm for each in found.standing} == {Harm.HIDDEN, Harm.DAMAGED}
    result = Scrubber(region, [], clock, Silent()).scrub(DB, heal=True)
    assert result.standing == ()
    assert {each.healed_from for each in result.harmed} == {"eu"}
    assert {each.key: region.get(each.key) for each in region.listed("")} == before
    assert all(region.locked_until(key) for key in before)
    assert Scrubber(region, [], clock, Silent()).scrub(DB).harmed == ()
    assert full.id in {each.id for each in holdings_of(region, DB, clock).backups}


# --- from one store to another


@pytest.fixture(scope="module")
def azures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Azurite, Azurite]]:
    folders = [tmp_path_factory.mktemp(name) for name in ("eu", "us")]
    with azurite(folders[0]) as eu, azurite(folders[1]) as us:
        yield eu, us


def test_two_regions_of_azure_catch_up_from_each_other_and_heal(azures: tuple[Azurite, Azurite]) -> None:
    places = [each.container() for each in azures]
    eu, us = (
        open_region(name, place.to, place.options) for name, place in zip(("eu", "us"), places, strict=True)
    )
    full = put_backup([eu, us], 1)
    child = put_backup([eu], 2, full, chunks=5)
    for hour in range(6):
        put_wal([eu] if hour % 2 else [us, eu], hour)
    clock = ManualClock(at(50))

    def lacks(source: Region, target: Region) -> bool:
        held, there = (holdings_of(each, DB, clock) for each in (source, target))
        plan = lacking(held, there, Keep(), clock.now())
        result = Copier(source, target, Silent()).copy(plan)
        assert result.complete
        return bool(result.objects)

    assert lacks(eu, us)
    assert not lacks(eu, us)
    assert not lacks(us, eu)
    assert {each.key: us.get(each.key) for each in us.listed("")} == {
        each.key: eu.get(each.key) for each in eu.listed("")
    }
    us.replace(child.index.key, b"damaged")
    us.delete([full.manifest.key])
    result = Scrubber(us, [eu], clock, Silent()).scrub(DB, heal=True)
    assert {each.key for each in result.harmed} == {child.index.key, full.manifest.key}
    assert result.standing == ()
    assert Scrubber(us, [], clock, Silent()).scrub(DB).harmed == ()
