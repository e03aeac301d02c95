"""What the estate declares of stores and keys, opened: regions and the packer."""

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path

from holdfast.adapters.objectstore.regions import open_region
from holdfast.adapters.packing.authentic import AuthenticRegion
from holdfast.adapters.packing.sealed import HOW
from holdfast.adapters.packing.zstd import ZstdPacker
from holdfast.backup.errors import KeyMissing, RegionRefused
from holdfast.backup.ports import Packer, Region
from holdfast.bootstrap.backup.memory import give_back_at_once
from holdfast.bootstrap.backup.unopened import UnopenedRegion
from holdfast.bootstrap.estates import secret_of
from holdfast.estate.backup import Store
from holdfast.estate.model import Estate
from holdfast.estate.suggest import did_you_mean
from holdfast.estate.values import SecretRef
from holdfast.kernel.errors import HoldfastError

BEGUN = "stores"
"""Below the data directory: which folders are stores that were begun."""


def regions_of(estate: Estate, database_key: str, config: Path, data_dir: Path | None = None) -> list[Region]:
    """The regions that keep copies of a database, in the order that the estate names them.

    Talks to nobody yet. Raises RegionRefused for a database that is not declared. A region that cannot be
    opened is among them, and raises RegionRefused whatever it is asked.
    """
    database = estate.databases.get(database_key)
    if database is None:
        hint = did_you_mean(database_key, estate.databases)
        raise RegionRefused(f"no database is called {database_key!r}", hint=hint or "see `databases`")
    # Whoever opens stores has their objects in memory soon.
    give_back_at_once()
    return [_opened(estate, key, config, data_dir) for key in database.copies]


def region_of(estate: Estate, key: str, config: Path, data_dir: Path | None = None) -> Region:
    """The store of one region, in which nobody without the estate's keys forges anything.

    Raises RegionRefused, KeyMissing, and what a secret that cannot be had raises.
    """
    opened = store_of(estate, key, config, data_dir)
    encryption = estate.backup.encryption
    believes = encryption is not None and encryption.believe_unsealed
    keys, for_new = _keys(estate, config), _key_for_new(estate)
    return AuthenticRegion(opened, keys, for_new, believes_unsealed=believes)


def store_of(estate: Estate, key: str, config: Path, data_dir: Path | None = None) -> Region:
    """The same as it is stored, without any proof. A folder that is empty is away if the data directory tells
    that it was not.
    """
    store = estate.backup.stores.get(key)
    if store is None:
        hint = did_you_mean(key, estate.backup.stores)
        raise RegionRefused(f"region {key!r} has no store", hint=hint or "declare it in `backup.stores`")
    begun = None if data_dir is None else data_dir.absolute() / BEGUN / key
    return open_region(key, store.to, _options(store, config), store.lock, begun=begun)


def _opened(estate: Estate, key: str, config: Path, data_dir: Path | None) -> Region:
    try:
        return region_of(estate, key, config, data_dir)
    except HoldfastError as error:
        return UnopenedRegion(key, error)


def packer_for(estate: Estate, config: Path) -> Packer:
    """What compresses, and seals with the keys that the estate names. Raises KeyMissing, SecretError."""
    return ZstdPacker(keys=_keys(estate, config), key=_key_for_new(estate))


def _keys(estate: Estate, config: Path) -> Mapping[str, bytes]:
    encryption = estate.backup.encryption
    if encryption is None:
        return {}
    return {name: key_of(name, secret_of(config, each)) for name, each in encryption.keys.items()}


def _key_for_new(estate: Estate) -> str:
    return "" if estate.backup.encryption is None else estate.backup.encryption.key


def key_of(name: str, text: str) -> bytes:
    """The key that a secret's text says. Raises KeyMissing, which shows nothing of it."""
    try:
        return base64.b64decode(text.strip(), validate=True)
    except binascii.Error:
        # Without a cause: it would carry the text.
        raise KeyMissing(f"the key `{name}` is not base64", hint=HOW) from None


def _options(store: Store, config: Path) -> Mapping[str, str]:
    return {
        name: secret_of(config, value) if isinstance(value, SecretRef) else value
        for name, value in store.options.items()
    }
