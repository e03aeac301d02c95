"""Reports and copies as an operator makes them: by commands, by mail, and by a rule in the estate."""

import csv
import json
import sys
from io import StringIO
from pathlib import Path

from estates import ESTATE, put_link
from installation import Installation, eventually, fetch, free_port, installed
from targets import answering

sys.path.insert(0, str(Path(__file__).parents[2] / "unit" / "staticsite"))

from copy_links import dead_links

SECRET = "x" * 40
REPORTS = """\
communication:
  reports:
    monthly:
      agreement: without-notice
      to: [it@acme.example, cfo@acme.example]
      day: 1
      language: de
      formats: [pdf, csv, json]
"""


def estate(port: int, url: str, copies: list[Path]) -> str:
    publish = "".join(f"    - {{region: here, to: 'file://{each}'}}\n" for each in copies)
    text = ESTATE.format(port=port, url=url).replace(
        "window: 30d\n    notice: 0s", "time_zone: Europe/Berlin"
    )
    if publish:
        text = text.replace(
            f"  listen: 127.0.0.1:{port}\n", f"  listen: 127.0.0.1:{port}\n  publish:\n{publish}", 1
        )
    return text + REPORTS


def test_reports_and_copies_of_a_running_holdfast(tmp_path: Path) -> None:
    port, copies = free_port(), [tmp_path / "copy-one", tmp_path / "copy-two"]
    with (
        answering() as target,
        installed(tmp_path / "here", estate(port, target.url, copies)) as installation,
    ):
        put_link(installation.folder, SECRET)
        installation.up("--sample-history")
        count = "SELECT count(*) FROM availability.month"
        eventually(lambda: installation.query(count)[0][0] >= 12, "the year's months are frozen")

        month = _reports(installation, port, tmp_path)
        _mailed(installation)
        _published(installation, port, copies)
        _exported(installation, tmp_path / "export", month)
    _exported_without_a_database(installation, tmp_path / "export")


def _reports(installation: Installation, port: int, folder: Path) -> str:
    told = installation.run("sla", "report", "acme", "--format", "json", code=1)
    assert "has several agreements" in told.err
    assert "without-notice, with-notice" in told.err
    frozen = installation.run("sla", "verify", "without-notice", "--json").json["months"][-1]
    month = str(frozen["month"])
    arguments = ("sla", "report", "without-notice", "--month", month)

    report = installation.run(*arguments, "--format", "json").json
    assert report["figure"]["availability_percent"] == frozen["figures"]["total"]["availability_percent"]
    assert report["frozen"][0]["intervals_sha256"] == frozen["intervals_sha256"]
    assert report["sample"]
    table = installation.run(*arguments, "--format", "csv").out
    head = next(csv.DictReader(StringIO(table, newline="")))
    assert head["availability_percent"] == report["figure"]["availability_percent"]

    installation.run(*arguments, "--format", "pdf", "--language", "de", "-o", str(folder / "report.pdf"))
    assert (folder / "report.pdf").read_bytes().startswith(b"%PDF-")
    assert (folder / "report.pdf").stat().st_mode & 0o077 != 0, "as any new file"
    installation.run("report", "component", "main/web", "--month", month, "-o", str(folder))
    assert "<!doctype html>" in (folder / f"component-main-web-{month}.html").read_text()
    days = installation.run(
        "report", "cluster", "main", "--from", f"{month}-01", "--to", f"{month}-07", "--format", "json"
    ).json
    assert days["subject"]["key"] == "main"
    assert [each["month"] for each in days["months"]] == [month]
    assert "did you mean" in installation.run("report", "cluster", "mian", code=1).err
    assert installation.run("report", "cluster", "main", "--from", "2026-01-01", code=2).err

    address = f"http://127.0.0.1:{port}/en/agreements/{SECRET}/report?month={month}"
    status, page = fetch(f"{address}&format=json")
    assert status == 200
    assert json.loads(page)["figure"] == report["figure"]
    status, page = fetch(f"http://127.0.0.1:{port}/de/reports/main/web?month={month}")
    assert status == 200
    assert "Beispieldaten" in page
    return month


def _mailed(installation: Installation) -> None:
    letters = "SELECT count(*), count(DISTINCT key) FROM communication.delivery WHERE letter IS NOT NULL"
    eventually(lambda: installation.query(letters)[0] == (2, 2), "a letter for each recipient waits")
    journal = "SELECT facts FROM holdfast.journal WHERE event = 'report.posted'"
    eventually(lambda: installation.query(journal), "it is in the journal")
    assert installation.query(journal)[0][0]["letters"] == 2
    stored = installation.query("SELECT letter FROM communication.delivery WHERE letter IS NOT NULL")
    assert all(b"acme.example" not in bytes(each[0]) for each in stored), "nobody reads the addresses there"


def _published(installation: Installation, port: int, copies: list[Path]) -> None:
    for copy in copies:
        eventually((copy / "index.html").exists, "the copy is there")
        eventually((copy / ".holdfast-copy.json").exists, "it is complete")
        assert dead_links(copy) == []
        assert "Dies ist eine Kopie" in (copy / "de/index.html").read_text()
    metrics = fetch(f"http://127.0.0.1:{port}/metrics")[1]
    assert f'holdfast_site_copy_age_seconds{{region="here",to="file://{copies[0]}"}}' in metrics
    assert metrics.count("holdfast_site_copy_failing{") == 2


def _exported(installation: Installation, folder: Path, month: str) -> None:
    done = installation.run("site", "export", str(folder), "--months", "2", "--json").json
    assert done["live"]
    assert done["left_out"] == 0
    assert dead_links(folder) == []
    assert (folder / f"en/reports/main/web/month-{month}.pdf").read_bytes().startswith(b"%PDF-")
    before = (folder / f"en/reports/main/web/month-{month}.csv").stat().st_ino
    again = installation.run("site", "export", str(folder), "--months", "2")
    assert "new or changed" in again.out
    assert "copied" in again.err, "progress is told"
    assert (folder / f"de/reports/main/web/month-{month}.pdf").exists()
    assert before
    precious = folder.parent / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("years of work")
    refused = installation.run("site", "export", str(precious), code=1)
    assert "not empty" in refused.err
    assert [each.name for each in precious.iterdir()] == ["thesis.txt"]


def _exported_without_a_database(installation: Installation, folder: Path) -> None:
    done = installation.run("site", "export", str(folder), "--json").json
    assert not done["live"]
    assert done["left_out"] > 0
    assert dead_links(folder) == []
    assert "Live figures are unavailable" in (folder / "en/index.html").read_text()
    assert (folder / "en/clusters/main/web/range-7d.html").exists()
