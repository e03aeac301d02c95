"""Months that have closed are frozen by a running Holdfast, and verified from the command line."""

import contextlib
import hashlib
from pathlib import Path

from estates import estate, put_link
from installation import eventually, fetch, free_port, installed
from targets import answering

SECRET = "x" * 40


def test_a_year_of_history_is_frozen_shown_verified_and_found_out(tmp_path: Path) -> None:
    port = free_port()
    with (
        answering() as target,
        installed(
            tmp_path / "frozen",
            estate(port, target.url).replace("window: 30d\n    notice: 0s", "time_zone: Europe/Berlin"),
        ) as installation,
    ):
        put_link(installation.folder, SECRET)
        installation.up("--sample-history")
        count = "SELECT count(*) FROM availability.month"
        eventually(lambda: installation.query(count)[0][0] >= 12, "the year's months are frozen")

        verified = installation.run("sla", "verify", "--json").json
        assert verified["sound"]
        assert {each["agreement"] for each in verified["months"]} == {"without-notice"}, "the other one rolls"
        assert all(each["figures"]["sample"] for each in verified["months"])
        newest = verified["months"][-1]
        lines = installation.run("sla", "intervals", "without-notice", "--month", newest["month"]).out
        assert hashlib.sha256(lines.encode()).hexdigest() == newest["intervals_sha256"]

        report = installation.run("sla", "report", "without-notice", "--month", newest["month"], "--json")
        assert [each["id"] for each in report.json["frozen"]] == [newest["id"]]
        address = f"http://127.0.0.1:{port}/en/agreements/{SECRET}?month={newest['month']}"
        status, page = fetch(address)
        assert status == 200
        assert newest["intervals_sha256"] in page

        journal = installation.query("SELECT count(*) FROM holdfast.journal WHERE event = 'month.frozen'")
        assert journal[0][0] == len(verified["months"])

        # Somebody with the owner's password falsifies the history behind a frozen month.
        with contextlib.closing(installation.connect()) as owner:
            owner.execute("SET session_replication_role = replica")
            owner.execute("DELETE FROM availability.transition WHERE state = 3")
        found_out = installation.run("sla", "verify", "--json", code=1).json
        assert not found_out["sound"]
