"""The loss of a region, drilled at the command line on the real lab: broken, left, healed, and proven."""

import contextlib
import json
import re
from collections.abc import Iterator

import pytest
from tests.installation import Installation, eventually, fetch, free_port, installed
from tests.two_regions import example_at, free_regions_port

LISTEN = '  listen: "127.0.0.1:{recovery}"\n'
PATIENCE_S = 240.0


def estate_at(base: int) -> str:
    """The example, which declares a drill, on other ports."""
    text = example_at(base).replace("  languages: [en, de]\n", f'  listen: "127.0.0.1:{free_port()}"\n')
    return f'{text}{LISTEN.format(recovery=free_port())}console: {{listen: "127.0.0.1:{free_port()}"}}\n'


@pytest.fixture
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    base = free_regions_port()
    folder = tmp_path_factory.mktemp("r") / "h"  # a socket's path must be short
    with installed(folder, estate_at(base), HOLDFAST_LAB_BASE_PORT=str(base)) as holdfast:
        try:
            holdfast.run("lab", "up", within_s=PATIENCE_S)
            yield holdfast
        finally:
            with contextlib.suppress(AssertionError):
                holdfast.run("lab", "down", within_s=PATIENCE_S)


@pytest.mark.timeout(900)
def test_a_region_of_the_lab_is_lost_by_a_drill_and_comes_back(lab: Installation) -> None:
    lab.up()
    eventually(lambda: lab.role("recovery") is not None, "the process of recovery runs")
    assert lab.run("drill", "list", "--json").json["drills"][0]["expired"] is True

    said = lab.run("drill", "region-outage", code=None, within_s=PATIENCE_S)
    assert said.code == 0, (said, lab.log("recovery")[-3000:])

    [it] = lab.run("evidence", "list", "--json").json["evidence"]
    assert (it["subject"], it["scenario"], it["drill"], it["where"]) == (
        "print",
        "region-outage",
        True,
        "lab",
    )
    assert it["what"] == "print: region a -> b"
    assert it["rto"]["measured_ms"] is not None
    assert it["rpo"]["measured_ms"] == 0
    assert it["passed"], it
    names = {each["name"]: each["holds"] for each in it["invariants"]}
    assert names["user-write"] in {"holds", "unknown"}
    assert lab.run("drill", "list", "--json").json["drills"][0]["expired"] is False
    assert "it holds" in lab.run("evidence", "verify").out
    assert "broken" not in lab.run("lab", "status").out
    _moved_there_and_back_as_on_the_real_thing(lab)


def _moved_there_and_back_as_on_the_real_thing(lab: Installation) -> None:
    """With both regions well, once somebody has agreed: from B, where it works by now, to A and back."""
    eventually(lambda: _in_step(lab), "the healed region follows again", PATIENCE_S)
    run_id = lab.run("run", "start", "drill-switchover", "print", "--json").json["id"]
    approve = ("run", "approve", run_id, "--gate", "agree")
    eventually(
        lambda: lab.run(*approve, code=None).code == 0,
        "it waits for somebody",
    )
    said = lab.run("run", "watch", run_id, code=None, within_s=PATIENCE_S)
    assert said.code == 0, (said, lab.log("recovery")[-3000:])
    it = lab.run("evidence", "list", "--json").json["evidence"][0]
    assert (it["run"], it["scenario"], it["where"]) == (run_id, "region-outage", "production")
    assert it["what"] == "print: region b -> a"
    assert it["rpo"]["measured_ms"] == 0
    assert it["passed"], it
    assert [each["gate"] for each in it["approvals"]] == ["agree"]


def _in_step(lab: Installation) -> bool:
    """Whether the lost region's database is the one that commits wait for again."""
    view = json.loads(fetch(f"{_witness(lab)}/view")[1] or "{}")
    return bool(view.get("quorum")) and "a" in str((view.get("sync") or {}).get("standby") or "")


def _witness(lab: Installation) -> str:
    found = re.search(r"witness: (http://\S+)", lab.config.read_text(encoding="utf-8"))
    assert found is not None
    return found[1]
