"""`holdfast up` with a recovery section: its process works on runs, and another one goes on when it dies."""

import contextlib
import json
import os
import signal
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from tests.installation import Installation, eventually, fetch, free_port, installed

from holdfast.recovery.model import Playbook, Run, RunState, Step

ESTATE = """\
version: 1
site: {{listen: "127.0.0.1:{site}"}}
console: {{listen: "127.0.0.1:{console}"}}
regions: {{eu: {{name: Europe}}}}
clusters:
  eu:
    name: Europe
    region: eu
    components:
      api:
        name: API
        checks: {{http: {{url: "http://127.0.0.1:9/", every: 1h}}}}
recovery: {{listen: "127.0.0.1:{listen}"}}
"""


def steps(run_id: str, *, seconds: float) -> Run:
    """Sets a mark, and takes its time."""
    named = [("first", "practice.set", {"mark": f"{run_id}/first"}), ("long", "practice.wait", {})]
    return Run(
        id=run_id,
        playbook=Playbook(
            name="practice",
            title="Practice",
            stages=[
                Step(name=name, title=name, action=action, given={**given, "seconds": str(seconds)})
                for name, action, given in named
            ],
        ),
        subject="eu",
        started_by="ada",
        started_at=datetime.now(UTC),
    )


def begin(holdfast: Installation, run: Run) -> None:
    """As a console on another machine would."""
    with contextlib.closing(holdfast.connect()) as connection:
        connection.execute(
            "INSERT INTO recovery.run (id, subject, playbook, moves_traffic, state, run)"
            " VALUES (%s, %s, %s, false, 'running', %s::jsonb)",
            [run.id, run.subject, run.playbook.name, msgspec.json.encode(run).decode()],
        )
        connection.execute("SELECT pg_notify('holdfast_recovery', %s)", [run.id])


def state_of(holdfast: Installation, run_id: str) -> str:
    [(state,)] = holdfast.query("SELECT state FROM recovery.run WHERE id = %s", run_id)
    return str(state)


def events_of(holdfast: Installation, run_id: str) -> list[str]:
    rows = holdfast.query("SELECT event FROM holdfast.journal WHERE facts->>'run' = %s ORDER BY id", run_id)
    return [event for (event,) in rows]


def test_its_process_works_on_runs_and_goes_on_with_those_of_a_dead_one(tmp_path: Path) -> None:
    port = free_port()
    text = ESTATE.format(site=free_port(), console=free_port(), listen=port)
    with installed(tmp_path / "whole", text) as holdfast:
        holdfast.up()
        url = f"http://127.0.0.1:{port}"
        eventually(lambda: fetch(f"{url}/health/ready")[0] == 200, "it reaches the runs")
        assert holdfast.query(
            "SELECT DISTINCT usename FROM pg_stat_activity WHERE application_name = 'holdfast recovery'"
        ) == [("holdfast_recovery",)]

        begin(holdfast, steps("quick", seconds=0.01))
        eventually(lambda: state_of(holdfast, "quick") == RunState.DONE.value, "the run is done")
        assert events_of(holdfast, "quick") == [
            *("run.step_begun", "run.step_done", "run.step_begun", "run.step_done"),
            "run.done",
        ]
        assert holdfast.query("SELECT value FROM recovery.mark WHERE name = 'quick/first'") == [("set",)]

        begin(holdfast, steps("slow", seconds=2))
        eventually(lambda: "run.step_begun" in events_of(holdfast, "slow"), "the run is begun")
        first = holdfast.role("recovery")
        assert first is not None
        os.kill(first, signal.SIGKILL)
        eventually(lambda: holdfast.role("recovery") not in (None, first), "another one is there")
        eventually(lambda: state_of(holdfast, "slow") == RunState.DONE.value, "the run is done all the same")
        events = events_of(holdfast, "slow")
        assert events.count("run.taken_over") == 1
        assert events.count("run.step_done") == 2

        eventually(lambda: fetch(f"{url}/health/ready")[0] == 200, "it reaches the runs")
        status, told = fetch(f"{url}/metrics")
        assert status == 200
        assert 'holdfast_recovery_runs{state="done"} 2' in told
        assert "holdfast_recovery_driving 0" in told
        assert told.endswith("# EOF\n")


def test_a_process_that_is_ended_in_order_lets_go_of_its_runs_at_once(tmp_path: Path) -> None:
    """Nothing counts as lost, and nobody waits for a lease."""
    text = ESTATE.format(site=free_port(), console=free_port(), listen=free_port())
    with installed(tmp_path / "whole", text) as holdfast:
        holdfast.up()
        eventually(lambda: holdfast.role("recovery"), "it runs")
        begin(holdfast, steps("slow", seconds=4))
        eventually(lambda: "run.step_begun" in events_of(holdfast, "slow"), "the run is begun")
        first = holdfast.role("recovery")
        assert first is not None
        os.kill(first, signal.SIGTERM)
        eventually(lambda: state_of(holdfast, "slow") == RunState.DONE.value, "the run is done")
        assert "run.taken_over" not in events_of(holdfast, "slow")
        [(run,)] = holdfast.query("SELECT run FROM recovery.run WHERE id = 'slow'")
        began = datetime.fromisoformat(run["records"]["first"]["began"])
        assert datetime.fromisoformat(run["started_at"]) < began
        assert run["lost_leases"] == 0
        assert json.dumps(run).count('"attempts": 1') == 2


def test_without_a_recovery_section_there_is_no_process(tmp_path: Path) -> None:
    text = ESTATE.format(site=free_port(), console=free_port(), listen=free_port())
    text = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("recovery"))
    with installed(tmp_path / "whole", text) as holdfast:
        holdfast.up()
        assert eventually(lambda: holdfast.role("controller"), "the others run") is not None
        assert holdfast.role("recovery") is None
        assert not (holdfast.data_dir / "log" / "recovery.log").exists()
