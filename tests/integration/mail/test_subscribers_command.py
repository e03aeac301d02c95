"""`holdfast subscriber`, and `holdfast check` of the mail relay, with a whole installation."""

from pathlib import Path

from holdfast.adapters.vault.aes import AesVault
from installation import eventually, free_port, installed
from mailed import ESTATE, announce, sink, subscribe


def test_an_operator_sees_who_is_told_and_erases_an_address(tmp_path: Path) -> None:
    with sink(tmp_path / "mails") as mails:
        estate = ESTATE.format(site=free_port(), console=free_port(), smtp=mails.port)
        with installed(tmp_path / "told", estate) as installation:
            (mail,) = [
                each
                for each in installation.run("check", "--json").json["findings"]
                if each["subject"] == "mail"
            ]
            assert mail["ok"]
            installation.up()
            key = installation.data_dir / "keys" / "encryption.key"
            eventually(key.exists, "the sender has its key")
            with installation.connect() as connection:
                subscribe(connection, AesVault.from_text(key.read_text()), 3)
                keys = announce(connection)

            listed = installation.run("subscriber", "list", "--json").json
            assert {each["address"] for each in listed} == {"r***@example.org"}
            assert {each["standing"] for each in listed} == {"active"}
            eventually(lambda: set(mails.keys()) == keys, "all are told")
            counted = installation.run("subscriber", "stats", "--json").json
            assert counted["subscriptions"] == [{"channel": "mail", "standing": "active", "subscriptions": 3}]

            said = installation.run("subscriber", "remove", "READER1@example.org")
            assert said.out == "1 ended, and the address erased\n"
            again = installation.run("subscriber", "remove", "reader1@example.org", code=None)
            assert again.code != 0
            assert "no such subscription" in again.err
            installation.run("subscriber", "remove", listed[0]["id"])
            assert len(installation.run("subscriber", "list", "--json").json) <= 2
            assert "example.org" in installation.run("subscriber", "list").out
            rows = installation.query(
                "SELECT count(*) FROM communication.subscription WHERE standing = 'ended' AND address IS NULL"
            )
            assert rows >= [(1,)]
            journalled = installation.query(
                "SELECT count(*) FROM holdfast.journal WHERE event = 'subscription.removed'"
            )
            assert journalled == rows
