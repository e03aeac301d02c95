"""kill -9 while 400 mails are sent: nothing is lost, and nothing is doubled but what nobody could know of."""

import os
import random
import signal
import time
from pathlib import Path

import pytest

from holdfast.adapters.vault.aes import AesVault
from installation import Installation, eventually, free_port, installed
from mailed import ESTATE, announce, sink, subscribe

SUBSCRIBERS = 400
CONNECTIONS = 4
SHARES = (0.2, 0.6)
SEED = int(os.environ.get("HOLDFAST_CHAOS_SEED", str(random.SystemRandom().randrange(10**6))))
WAITING = "SELECT count(*) FROM communication.delivery WHERE sent_at IS NULL"


@pytest.mark.parametrize(
    ("victims", "doubled_at_most"),
    [
        # Its postman ends what it had begun, and notes it.
        (["sender"], 0),
        # What was accepted and not noted at that moment is sent again.
        (["postman"], CONNECTIONS),
        (["postman", "sender"], CONNECTIONS),
    ],
)
def test_a_sender_killed_twice_loses_nothing(
    tmp_path: Path, victims: list[str], doubled_at_most: int
) -> None:
    dice = random.Random(SEED)
    print(f"seed {SEED}")  # noqa: T201
    # Each mail is accepted a while after its last dot: at any moment some are in doubt.
    with sink(tmp_path / "mails", delay_ms=15) as mails:
        estate = ESTATE.format(site=free_port(), console=free_port(), smtp=mails.port)
        with installed(tmp_path / "sending", estate) as installation:
            installation.up()
            key = installation.data_dir / "keys" / "encryption.key"
            eventually(key.exists, "the sender has its key")
            with installation.connect() as connection:
                subscribe(connection, AesVault.from_text(key.read_text()), SUBSCRIBERS)
                keys = announce(connection)
            assert len(keys) == SUBSCRIBERS
            for share in SHARES:
                eventually(lambda: len(mails.keys()) >= share * SUBSCRIBERS, "mails arrive")  # noqa: B023
                time.sleep(dice.uniform(0, 0.05))
                for pid in [pid_of(installation, each) for each in victims]:
                    os.kill(pid, signal.SIGKILL)

            eventually(lambda: installation.query(WAITING) == [(0,)], "all of them are sent")
            assert set(mails.keys()) == keys
            assert len(mails.keys()) - SUBSCRIBERS <= len(SHARES) * doubled_at_most, mails.doubled()


def pid_of(installation: Installation, victim: str) -> int:
    if victim == "sender":
        sender = installation.role("sender")
        assert sender is not None
        return sender
    found = [pid for pid, command in installation.processes().items() if "notify.postman" in command]
    assert len(found) == 1, found
    return found[0]
