"""kill -9 of the sender while it mails: nothing is lost, and what is doubled is what nobody could know of."""

import os
import random
import signal
import time
from pathlib import Path

from mailed import ESTATE, announce, sink, subscribe

from holdfast.adapters.vault.aes import AesVault
from installation import eventually, free_port, installed

SUBSCRIBERS = 400
CONNECTIONS = 4
SEED = int(os.environ.get("HOLDFAST_CHAOS_SEED", str(random.SystemRandom().randrange(10**6))))


def test_a_sender_killed_twice_loses_no_mail_and_doubles_next_to_none(tmp_path: Path) -> None:
    dice = random.Random(SEED)
    print(f"seed {SEED}")  # noqa: T201
    with sink(tmp_path / "mails", delay_ms=10) as mails:
        estate = ESTATE.format(site=free_port(), console=free_port(), smtp=mails.port)
        with installed(tmp_path / "sending", estate) as installation:
            installation.up()
            key = installation.data_dir / "keys" / "encryption.key"
            eventually(key.exists, "the sender has its key")
            vault = AesVault.from_text(key.read_text())
            with installation.connect() as connection:
                subscribe(connection, vault, SUBSCRIBERS)
                keys = announce(connection)
            assert len(keys) == SUBSCRIBERS
            for share in (0.2, 0.6):
                eventually(lambda: len(mails.keys()) >= share * SUBSCRIBERS, "mails arrive")  # noqa: B023
                time.sleep(dice.uniform(0, 0.05))
                sender = installation.role("sender")
                assert sender is not None
                os.kill(sender, signal.SIGKILL)
                eventually(lambda: installation.role("sender") not in {None, sender}, "it is started again")  # noqa: B023

            waiting = "SELECT count(*) FROM communication.delivery WHERE sent_at IS NULL"
            eventually(lambda: installation.query(waiting) == [(0,)], "all of them are sent")
            assert set(mails.keys()) == keys
            doubled = mails.doubled()
            assert sum(doubled.values()) - len(doubled) <= 2 * CONNECTIONS, doubled
            # What was queued is sent, no more: every attempt but the doubled ones was the only one.
            assert len(mails.keys()) - len(keys) <= 2 * CONNECTIONS
