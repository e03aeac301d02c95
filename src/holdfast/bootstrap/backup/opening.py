"""What the estate declares of stores and keys, opened: regions and the packer."""

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path

from holdfast.adapters.objectstore.regions import open_region
from holdfast.adapters.packing.sealed import HOW
from holdfast.adapters.packing.zstd import ZstdPacker
from holdfast.backup.errors import KeyMissing, RegionRefused
from holdfast.backup.ports import Packer, Region
from holdfast.bootstrap.backup.unopened import UnopenedRegion
from holdfast.bootstrap.estates import secret_of
from holdfast.estate.backup import Store
from holdfast.estate.model import Estate
from holdfast.estate.suggest import did_you_mean
from holdfast.estate.values import SecretRef
from holdfast.kernel.errors import HoldfastError


def regions_of(estate: Estate, database_key: str, config: Path) -> list[Region]:
    """The regions that keep copies of a database, in the order that the estate names them.

    Talks to nobody yet. Raises RegionRefused for a database that is not declared. A region that cannot be
    opened is among them, and raises RegionRefused whatever it is asked.
    """
    database = estate.databases.get(database_key)
    if database is None:
        hint = did_you_mean(database_key, estate.databases)
        raise RegionRefused(f"no database is called {database_key!r}", hint=hint or "see `databases`")
    return [_opened(estate, key, config) for key in database.copies]


def region_of(estate: Estate, key: str, config: Path) -> Region:
    """The store of one region. Raises RegionRefused, and what a secret that cannot be had raises."""
    store = estate.backup.stores.get(key)
    if store is None:
        hint = did_you_mean(key, estate.backup.stores)
        raise RegionRefused(f"region {key!r} has no store", hint=hint or "declare it in `backup.stores`")
    return open_region(key, store.to, _options(store, config), store.lock)


def _opened(estate: Estate, key: str, config: Path) -> Region:
    try:
        return region_of(estate, key, config)
    except HoldfastError as error:
        return UnopenedRegion(key, error)


def packer_for(estate: Estate, config: Path) -> Packer:
    """What compresses, and seals with the keys that the estate names. Raises KeyMissing, SecretError."""
    encryption = estate.backup.encryption
    if encryption is None:
        return ZstdPacker()
    keys = {name: _key(name, secret_of(config, each)) for name, each in encryption.keys.items()}
    return ZstdPacker(keys=keys, key=encryption.key)


def _key(name: str, text: str) -> bytes:
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
