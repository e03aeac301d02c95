"""`holdfast run` and `holdfast playbook` on a running Holdfast, as an operator types them."""

import json
import os
import pty
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from installation import PROGRAM, Installation, eventually, free_port, installed

ESTATE = """\
version: 1
site: {{listen: '127.0.0.1:{site}'}}
console: {{listen: '127.0.0.1:{console}', second_factor: optional}}
regions: {{here: {{name: Here}}, there: {{name: There}}}}
clusters:
  eu:
    name: Europe
    region: here
    secondary: there
    components: {{api: {{name: API, checks: {{page: {{type: tcp, host: 127.0.0.1, port: {site}}}}}}}}}
recovery: {{playbooks: books}}
"""
GATED = """\
title: One agrees
stages:
  - {name: one, title: One, action: practice.tell, given: {text: "{subject}"}, by_hand: Say it.}
  - {name: agree, title: Somebody agrees, roles: [operator]}
  - {name: two, title: Two, action: practice.tell, by_hand: Say it again.}
"""
BREAKS = """\
title: It breaks
stages:
  - {name: mark, title: Set a mark, action: practice.set, undo: practice.unset, given: {mark: m}, by_hand: x}
  - name: fails
    title: It fails
    action: practice.fail
    given: {why: "the disk is full [sda]"}
    retry: {attempts: 2, pause: 100ms}
    by_hand: Free the disk.
"""
STANDS = """\
title: It stands still
moves_traffic: true
stages:
  - name: fails
    title: It fails
    action: practice.fail
    no_return: true
    retry: {attempts: 1}
    by_hand: Move it.
"""


@pytest.fixture(scope="module")
def holdfast(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("recovery")
    books = folder / "books"
    books.mkdir()
    for name, text in {"gated": GATED, "breaks": BREAKS, "stands": STANDS}.items():
        (books / f"{name}.yaml").write_text(text)
    with installed(folder, ESTATE.format(site=free_port(), console=free_port())) as installation:
        installation.up()
        yield installation


def books(holdfast: Installation) -> Path:
    return holdfast.config.parent / "books"


def test_a_run_is_started_watched_approved_and_done(holdfast: Installation) -> None:
    started = holdfast.run("run", "start", "gated", "eu", "--json").json
    run = started["id"]
    eventually(lambda: holdfast.run("run", "show", run, "--json").json["waits_at"] == "agree", "it waits")
    assert "waits for people" in holdfast.run("run", "list").out
    assert f"holdfast run list --before {run}" in holdfast.run("run", "list", "--most", "1").out
    assert holdfast.run("run", "list", "--before", run, "--json").json == []
    assert "no run" in holdfast.run("run", "list", "--before", "nothing", code=1).err
    said = holdfast.run("run", "approve", run[:8])
    assert f"run {run}: approved" in said.out
    watched = holdfast.run("run", "watch", run)
    assert f"run {run} is done" in watched.out
    shown = holdfast.run("run", "show", run).out
    assert "approved by command line (" in shown
    assert "text  eu" in " ".join(shown.split("found by")[1].split(" ")).replace("   ", "  ")
    late = holdfast.run("run", "approve", run, code=1)
    assert "waits at no gate" in late.err
    events = [
        row[0]
        for row in holdfast.query(
            "SELECT event FROM holdfast.journal WHERE facts->>'run' = %s AND event LIKE 'run.%%' ORDER BY id",
            run,
        )
    ]
    assert events[0] == "run.started"
    assert "run.approved" in events
    assert events[-1] == "run.done"


def test_a_run_that_fails_is_undone_and_watching_it_says_so(holdfast: Installation) -> None:
    said = holdfast.run("run", "start", "breaks", "eu", "--watch", code=1)
    assert "the disk is full [sda]" in said.out
    assert "Set a mark: undone" in said.out
    assert "is cancelled" in said.out
    documents = [
        json.loads(line)
        for line in holdfast.run("run", "start", "breaks", "eu", "-w", "--json", code=1).out.splitlines()
    ]
    assert documents[-1]["state"] == "cancelled"
    assert [each["state"] for each in documents[-1]["stages"]] == ["undone", "failed"]
    assert documents[-1]["stages"][0]["earlier_runs"] >= 0


def test_a_run_that_stands_still_goes_on_by_hand(holdfast: Installation) -> None:
    run = holdfast.run("run", "start", "stands", "eu", "--json").json["id"]
    watched = holdfast.run("run", "watch", run, code=1)
    assert "needs operator" in watched.out
    shown = holdfast.run("run", "show", run).out
    assert "It fails, by hand:" in shown
    assert "Move it." in shown
    second = holdfast.run("run", "start", "stands", "eu", code=1)
    assert "moves the traffic of 'eu' already" in second.err
    assert "say how it goes on" in holdfast.run("run", "resume", run, code=1).err
    assert "point of no return" in holdfast.run("run", "resume", run, "--back", code=1).err
    assert "past its point of no return" in holdfast.run("run", "cancel", run).err
    holdfast.run("run", "resume", run, "--by-hand")
    assert holdfast.run("run", "watch", run).code == 0
    assert "done by hand by command line" in holdfast.run("run", "show", run).out


def test_what_cannot_be_started_is_said_in_one_line(holdfast: Installation) -> None:
    assert "there is no playbook 'gatd'" in (said := holdfast.run("run", "start", "gatd", "eu", code=1)).err
    assert "did you mean `gated`?" in said.err
    assert "no cluster 'usa'" in holdfast.run("run", "start", "stands", "usa", code=1).err
    assert "does not take size" in holdfast.run("run", "start", "gated", "eu", "-g", "size=1", code=1).err
    assert "is not NAME=TEXT" in holdfast.run("run", "start", "gated", "eu", "-g", "size", code=2).err
    assert "no run begins with" in holdfast.run("run", "show", "zzz", code=1).err


def test_revisions_are_kept_as_they_were_run(holdfast: Installation) -> None:
    file = books(holdfast) / "revised.yaml"
    first = "title: First\nstages:\n  - {name: a, title: A, action: practice.tell, by_hand: x}\n"
    file.write_text(first)
    assert holdfast.run("playbook", "show", "revised", "--json").json["revisions"] == []
    holdfast.run("run", "start", "revised", "eu", "--watch")
    file.write_text(first.replace("First", "Second"))
    assert holdfast.run("playbook", "show", "revised", "--json").json["is_changed"] is True
    holdfast.run("run", "start", "revised", "eu", "--watch")

    shown = holdfast.run("playbook", "show", "revised", "--json").json
    assert [each["revision"] for each in shown["revisions"]] == [2, 1]
    assert shown["is_changed"] is False
    assert shown["took_s"]["a"]["runs"] == 2
    assert "revised: First" in holdfast.run("playbook", "show", "revised", "--revision", "1").out
    assert "was never run" in holdfast.run("playbook", "show", "revised", "--revision", "9", code=1).err


def test_a_wrong_playbook_is_found_before_it_is_needed(holdfast: Installation) -> None:
    wrong = books(holdfast) / "wrong.yaml"
    wrong.write_text("title: W\nstages:\n  - {name: a, title: A, action: practice.tel}\n")
    try:
        said = holdfast.run("playbook", "check", code=1)
        assert f"{wrong}:3:33  stages[0].action: there is no action 'practice.tel'" in said.err
        assert "did you mean `practice.tell`?" in said.err
        assert "WRONG" in holdfast.run("playbook", "list").out
        refused = holdfast.run("run", "start", "wrong", "eu", code=1)
        assert "holdfast playbook check wrong" in refused.err
    finally:
        wrong.unlink()
    assert (
        holdfast.run("playbook", "check", str(books(holdfast) / "gated.yaml")).out.strip() == "1 can be run"
    )


def test_a_watch_outlives_the_database_that_it_asks(holdfast: Installation) -> None:
    run = holdfast.run("run", "start", "gated", "eu", "--json").json["id"]
    watching = holdfast.start("run", "watch", run)
    eventually(lambda: "waits for people" in watching.said.out, "it is watched")
    before = holdfast.postmaster
    assert before is not None
    os.kill(before, signal.SIGKILL)
    eventually(lambda: holdfast.postmaster not in {None, before}, "the database is back")
    eventually(lambda: holdfast.run("run", "approve", run, code=None).code == 0, "it is approved")
    assert watching.ended().code == 0
    assert f"run {run} is done" in watching.said.out


def test_on_a_terminal_a_picture_is_drawn_again_and_again(holdfast: Installation) -> None:
    ours, theirs = pty.openpty()
    environment = {**holdfast.environment, "TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
    drawn = b""
    with subprocess.Popen(
        [*PROGRAM, "run", "start", "rehearsal", "eu", "--given", "seconds=0", "--watch"],
        env=environment,
        cwd=holdfast.folder,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        try:
            while b"waits for people" not in drawn:
                drawn += os.read(ours, 65536)
            (run,) = re.findall(rb"started run ([a-z0-9]{12})", drawn)
            holdfast.run("run", "cancel", run.decode())
            while chunk := _read(ours):
                drawn += chunk
            assert process.wait(60) == 1
        finally:
            process.kill()
            os.close(ours)
    text = drawn.decode()
    assert "\x1b[" in text, "it moves the cursor"
    assert "Somebody else agrees" in text
    assert "was not passed" in text


def _read(terminal: int) -> bytes:
    """Nothing once whoever drew has ended."""
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""


def test_in_the_dark_the_runbook_is_printed_from_files_alone(tmp_path: Path) -> None:
    dark = Installation(tmp_path)
    dark.config.write_text(ESTATE.format(site=free_port(), console=free_port()))
    (tmp_path / "books").mkdir()
    gated = GATED.replace("by_hand: Say it.", 'by_hand: "Say it to {secondary}."')
    (tmp_path / "books" / "gated.yaml").write_text(gated)
    said = dark.run("playbook", "show", "gated", "--offline", "--for", "eu")
    assert said.out.startswith("# One agrees: eu\n")
    assert "Say it to there.\n" in said.out
    assert said.err == ""
    assert not dark.data_dir.exists(), "reading must not begin anything"

    dark.config.write_text("regions: [")
    said = dark.run("playbook", "show", "rehearsal", "--offline", "--for", "eu")
    assert said.out.startswith("# Rehearse a run: eu\n")
    assert "without the estate's addresses" in said.err
    document = dark.run("playbook", "show", "rehearsal", "--offline", "--json").json
    assert document["trouble"]
    assert document["items"][1]["roles"] == ["commander", "admin"]
