"""What must hold of `databases` and `backup`. Pure."""

from collections.abc import Iterator
from datetime import timedelta

from holdfast.estate.backup import Database
from holdfast.estate.findings import Finding
from holdfast.estate.model import Estate
from holdfast.estate.source import Path
from holdfast.estate.suggest import did_you_mean

SHORTEST_SCHEDULE = timedelta(minutes=5)
SHORTEST_WINDOW = timedelta(hours=1)


def backup_rules(estate: Estate) -> Iterator[Iterator[Finding]]:
    """One iterator for each rule, so that in a partial estate each stops by itself."""
    yield _stores(estate)
    yield _encryption(estate)
    for key, database in getattr(estate, "databases", {}).items():
        path: Path = ("databases", key)
        yield _cluster(path, database, estate)
        yield _copies(path, database, estate)
        yield _keeping(path, database)
        yield _schedule(path, database)
        yield _engine(path, database)
        yield _sync(path, database)


def _stores(estate: Estate) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    for key, store in estate.backup.stores.items():
        path: Path = ("backup", "stores", key)
        if key not in estate.regions:
            yield Finding(path, f"no region is called `{key}`", did_you_mean(key, estate.regions))
        if store.to in seen:
            yield Finding(
                (*path, "to"), f"that is the store of `{seen[store.to]}` already", "one region each"
            )
        seen[store.to] = key
        if store.lock != "none" and not store.to.startswith("s3:"):
            yield Finding((*path, "lock"), "only S3 has Object Lock", "leave it out, or use an s3:// store")


def _encryption(estate: Estate) -> Iterator[Finding]:
    encryption = estate.backup.encryption
    if encryption is not None and encryption.key not in encryption.keys:
        hint = did_you_mean(encryption.key, encryption.keys)
        yield Finding(("backup", "encryption", "key"), f"no key is called `{encryption.key}`", hint)


def _cluster(path: Path, database: Database, estate: Estate) -> Iterator[Finding]:
    if database.cluster not in estate.clusters:
        hint = did_you_mean(database.cluster, estate.clusters)
        yield Finding((*path, "cluster"), f"no cluster is called `{database.cluster}`", hint)


def _copies(path: Path, database: Database, estate: Estate) -> Iterator[Finding]:
    for key in database.copies:
        if key not in estate.backup.stores:
            hint = did_you_mean(key, estate.backup.stores) or "declare it in `backup.stores`"
            yield Finding((*path, "copies", key), f"region `{key}` has no store", hint)


def _keeping(path: Path, database: Database) -> Iterator[Finding]:
    keeps = [((*path, "keep"), database.keep)]
    keeps += [
        ((*path, "copies", key, "keep"), copy.keep) for key, copy in database.copies.items() if copy.keep
    ]
    for place, keep in keeps:
        if keep.window < SHORTEST_WINDOW:
            yield Finding((*place, "window"), "is shorter than an hour", "14d is usual")


def _schedule(path: Path, database: Database) -> Iterator[Finding]:
    schedule = database.schedule
    if schedule.incremental_every < SHORTEST_SCHEDULE:
        yield Finding((*path, "schedule", "incremental_every"), "is shorter than 5 minutes", "1d is usual")
    if schedule.full_every < schedule.incremental_every:
        hint = "an increment needs a full backup before it"
        yield Finding((*path, "schedule", "full_every"), "is shorter than `incremental_every`", hint)
    between = schedule.differential_every
    if between is not None and database.engine != "pgbackrest":
        yield Finding((*path, "schedule", "differential_every"), "belongs to pgbackrest", "leave it out")
    elif between is not None and not schedule.incremental_every <= between <= schedule.full_every:
        hint = "between `incremental_every` and `full_every`"
        yield Finding((*path, "schedule", "differential_every"), "never comes, or always", hint)


def _engine(path: Path, database: Database) -> Iterator[Finding]:
    if (database.engine == "pgbackrest") != (database.stanza is not None):
        hint = "write the stanza with engine: pgbackrest, and only there"
        yield Finding((*path, "stanza"), "belongs to pgbackrest", hint)
    if database.engine != "native" and database.mode != "stream":
        yield Finding((*path, "mode"), "is the native engine's", "leave it out")
    repos: dict[int, str] = {}
    for key, copy in database.copies.items():
        place = (*path, "copies", key, "repo")
        if database.engine != "pgbackrest":
            if copy.repo is not None:
                yield Finding(place, "belongs to pgbackrest", "leave it out")
            continue
        repo = copy.repo or 1
        if repo in repos:
            hint = "say which of its repositories is in which region: repo: 2"
            yield Finding(place, f"repository {repo} is that of `{repos[repo]}` already", hint)
        repos[repo] = key


def _sync(path: Path, database: Database) -> Iterator[Finding]:
    if database.mode == "sync" and database.sync.regions > len(database.copies):
        hint = f"it has {len(database.copies)}"
        yield Finding((*path, "sync", "regions"), "more regions than it has copies in", hint)
