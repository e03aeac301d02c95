"""What POST /v1/records answers, over memory stores."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator

import pytest
import zstandard
from intake_served import Served, line, lines

from holdfast.interfaces.ledger import bodies
from holdfast.ledger.append import acknowledging
from holdfast.ledger.append.acknowledging import WhenAway
from holdfast.ledger.append.reached import caught_up
from holdfast.ledger.errors import LogDamaged
from holdfast.ledger.log.checkpoint import Checkpoint
from holdfast.ledger.model import Prepared

JSON = "application/json"


@pytest.fixture
async def served() -> Served:
    return await Served().begin()


async def test_every_line_is_told_of(served: Served) -> None:
    body = b"\n".join([line(1), b"", line(2), b'{"seq": 3}', line(5), line(1, job="other"), line(1)])
    answer = await served.post(body)
    assert answer.status_code == 200
    assert answer.json() == {
        "taken": [
            {"first": 1, "last": 1, "leaf": 0},
            {"first": 3, "last": 3, "leaf": 1},
            {"first": 5, "last": 5, "leaf": 2},
        ],
        "repeated": [{"first": 7, "last": 7, "leaf": 0}],
        "conflicts": [{"first": 6, "last": 6, "leaf": 3}],
        "refused": [{"line": 4, "reason": answer.json()["refused"][0]["reason"]}],
        "reach": "two regions",
        "size": 4,
        "checkpoint": None,
    }
    assert "missing required field" in answer.json()["refused"][0]["reason"]


async def test_a_repeat_is_told_where_it_stands_with_its_checkpoint(served: Served) -> None:
    first = (await served.post(lines(*range(1, 301)))).json()
    assert first["taken"] == [{"first": 1, "last": 300, "leaf": 0}]
    again = (await served.post(lines(*range(1, 301)))).json()
    assert (again["taken"], again["repeated"]) == ([], first["taken"])
    assert again["checkpoint"] is None
    head = await served.store.head("acme")
    assert head is not None
    grown = await served.store.grown_to(head.log_id, 300)
    assert grown is not None
    await served.published.publish(head.log_id, 300, str(grown[2]))
    told = (await served.post(lines(7))).json()["checkpoint"]
    assert Checkpoint.parsed(told.partition("\n\n")[0] + "\n").size == 300


async def test_an_array_packed_or_not(served: Served) -> None:
    array = b"[" + b",".join([line(1), line(2)]) + b"]"
    assert (await served.post(array, kind=JSON)).json()["taken"][0]["last"] == 2
    for coding, packed in (
        ("gzip", gzip.compress(lines(3))),
        ("zstd", zstandard.ZstdCompressor().compress(lines(4))),
        ("zstd", zstandard.ZstdCompressor().compress(lines(5) + b"\n") + zstandard.compress(lines(6))),
        ("gzip", gzip.compress(lines(7) + b"\n") + gzip.compress(lines(8))),
    ):
        answer = await served.post(packed, content_encoding=coding)
        assert (answer.status_code, answer.json()["refused"]) == (200, [])
    assert (await served.post(b"[]", kind=JSON)).json()["size"] == 0
    assert (await served.post(lines(8))).json()["size"] == 8


@pytest.mark.parametrize(
    ("body", "coding"),
    [
        (gzip.compress(bytes(80 * 1024 * 1024)), "gzip"),
        (zstandard.ZstdCompressor(write_content_size=False).compress(bytes(80 * 1024 * 1024)), "zstd"),
        (bytes(65 * 1024 * 1024), "identity"),
    ],
    ids=["gzip bomb", "zstd bomb", "65 MiB"],
)
async def test_too_large_however_it_is_packed(served: Served, body: bytes, coding: str) -> None:
    answer = await served.post(body, content_encoding=coding)
    assert answer.status_code == 413
    assert "post it in parts" in answer.json()["hint"]
    assert await served.store.head("acme") is None


async def test_a_zstd_window_that_takes_memory_is_refused(served: Served) -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=27, enable_ldm=True)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    packed = compressor.compress(lines(1) + bytes(1024)) + compressor.flush()
    answer = await served.post(packed, content_encoding="zstd")
    assert (answer.status_code, answer.json()["detail"]) == (422, "the body is not zstd")


@pytest.mark.parametrize("cut", [1, 20])
@pytest.mark.parametrize("coding", ["gzip", "zstd"])
async def test_a_packed_body_that_ends_early_is_refused_whole(served: Served, coding: str, cut: int) -> None:
    body = b"\n".join(line(n) for n in range(50)) + b"\n"
    packed = gzip.compress(body) if coding == "gzip" else zstandard.compress(body)
    answer = await served.post(packed[:-cut], content_encoding=coding)
    assert answer.status_code == 422
    assert await served.store.head("acme") is None


async def test_the_bad_ones_are_refused_with_a_reason_and_the_good_ones_go_in(served: Served) -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    bad = [
        line(2, document={"bytes": 1}).replace(b"1", b"1" * 400, 1),
        b'{"job": ' + deep + b"}",
        deep,
        line(3).replace(b"print", b"pr\xffnt"),
        line(4).replace(b'"seq": 4', b'"seq": -4'),
        line(4).replace(b'"seq": 4', b'"seq": 9007199254740992'),
        line(4).replace(b'"seq": 4', b'"seq": 4.5'),
        line(4).replace(b'"seq": 4', b'"seq": 1e400'),
        line(4, occurred_at="2026-11-22T12:00:00"),
        line(4, occurred_at="99999-01-01T00:00:00Z"),
        line(4, job="\ud800"),
        line(4, job="a\u0000b"),
        line(4, extra=1),
        b"null",
        b"{",
    ]
    answer = await served.post(b"\n".join([line(1), *bad, line(9)]))
    assert answer.status_code == 200
    told = answer.json()
    assert [each["line"] for each in told["refused"]] == list(range(2, 2 + len(bad)))
    assert all(each["reason"] for each in told["refused"])
    assert [each["first"] for each in told["taken"]] == [1, 2 + len(bad)]


async def test_a_body_of_which_all_is_refused(served: Served) -> None:
    answer = await served.post(b"nothing\nnothing")
    assert (answer.status_code, len(answer.json()["refused"])) == (422, 2)
    answer = await served.post(b'{"seq": 1}', kind=JSON)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert "application/x-ndjson" in answer.json()["hint"]


async def test_a_clock_that_is_years_off_is_no_reason_to_lose_a_record(served: Served) -> None:
    for seq, year in enumerate((1970, 1999, 2099), 1):
        answer = await served.post(line(seq, occurred_at=f"{year}-01-01T00:00:00Z"))
        assert answer.json()["size"] == seq


async def test_a_token_adds_to_its_own_source_only(served: Served) -> None:
    body = b"\n".join(
        [line(1), line(2, source="mfp"), line(3, tenant="other"), line(4, tenant="other", source="spooler")]
    )
    told = (await served.post(body)).json()
    assert [each["line"] for each in told["refused"]] == [2, 3, 4]
    assert await served.store.head("other") is None
    head = await served.store.head("acme")
    assert head is not None
    assert list(head.known) == [("spooler", 1)]


async def test_who_may_not_post(served: Served) -> None:
    served.tokens["x", "y"] = "hfl_" + "A" * 43
    for who in (("x", "y"), ("no", "token")):
        answer = await served.post(lines(1), who=who)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
    reader = await served.post(lines(1), who=("acme", ""))
    assert (reader.status_code, "reader" in reader.json()["detail"]) == (403, True)
    await served.sources.revoke_source("acme", "spooler", actor="test")
    assert (await served.post(lines(1))).status_code == 401
    assert await served.store.head("acme") is None


async def test_who_guesses_is_slowed_down(served: Served) -> None:
    served.tokens["x", "y"] = "hfl_" + "A" * 43
    found = [(await served.post(lines(1), who=("x", "y"))).status_code for _ in range(12)]
    assert found == [401] * 10 + [429] * 2
    served.clock.advance(60)
    assert (await served.post(lines(1), who=("x", "y"))).status_code == 401


async def test_what_is_not_read_here(served: Served) -> None:
    assert (await served.post(lines(1), kind="text/csv")).status_code == 415
    answer = await served.post(lines(1), content_encoding="br")
    assert (answer.status_code, answer.headers["accept-encoding"]) == (415, "gzip, zstd")
    assert (await served.call("GET", "/v1/records")).status_code == 405
    assert (await served.call("GET", "/v1/records/")).status_code == 404


async def test_a_slow_body_is_ended(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies.body_of, "__kwdefaults__", {**bodies.body_of.__kwdefaults__, "silent_s": 0.01})

    async def slow() -> AsyncIterator[bytes]:
        yield line(1)
        await asyncio.Event().wait()

    headers = {
        "authorization": f"Bearer {served.tokens['acme', 'spooler']}",
        "content-type": "application/x-ndjson",
    }
    sent = served.call("POST", "/v1/records", content=slow(), headers=headers)
    assert (await asyncio.wait_for(sent, 60)).status_code == 408
    assert await served.store.head("acme") is None


async def test_bodies_have_a_room_and_leave_it(served: Served) -> None:
    room = bodies.Room(100)
    with room.shared() as one, room.shared() as two:
        one.grow(80)
        with pytest.raises(bodies.Problem) as refused:
            two.grow(30)
        assert refused.value.status == 503
        two.grow(20)
    assert room.taken == 0
    await served.post(b"x" * 1000)
    metrics = (await served.call("GET", "/metrics")).text
    assert "holdfast_ledger_waiting_bytes 0\n" in metrics
    assert "holdfast_ledger_received_bytes_total 1000\n" in metrics


async def test_the_second_region_is_away_and_the_policy_stalls(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acknowledging, "LOOK_AGAIN_S", 0.001)
    served.second.up_to = 0
    answer = await served.post(lines(1, 2))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "post it again" in answer.json()["hint"]
    head = await served.store.head("acme")
    assert head is not None
    assert head.edge.size == 2
    assert (await served.post(lines(3))).status_code == 503  # and is not even looked at
    assert len(await served.store.entries(head.log_id, 0, 2)) == 2
    with pytest.raises(Exception, match="missing"):
        await served.store.entries(head.log_id, 2, 1)
    served.second.up_to = 1 << 62
    await asyncio.wait_for(served.gate.until_back(), 60)
    told = (await served.post(lines(1, 2, 3))).json()
    assert [told["repeated"], told["taken"], told["reach"]] == [
        [{"first": 1, "last": 2, "leaf": 0}],
        [{"first": 3, "last": 3, "leaf": 2}],
        "two regions",
    ]
    assert [event for event, _ in served.told] == ["second_region_away", "second_region_back"]


async def test_the_second_region_is_away_and_the_policy_accepts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acknowledging, "LOOK_AGAIN_S", 0.001)
    served = await Served(WhenAway.ACCEPT).begin()
    served.second.up_to = 0
    assert (await served.post(lines(1, 2))).json()["reach"] == "one region"
    assert (await served.post(lines(1, 3))).json()["reach"] == "one region"
    assert [(each.from_size, each.to_size) for each in await served.marks.open()] == [(0, 2), (0, 3)]
    assert not await caught_up(served.marks, served.second, 0.0, lambda *_: None)
    served.second.up_to = 1 << 62
    await asyncio.wait_for(served.gate.until_back(), 60)
    assert (await served.post(lines(4))).json()["reach"] == "two regions"
    told = list[object]()
    assert await caught_up(served.marks, served.second, 0.0, lambda *each: told.append(each))
    assert told == [("in_both_regions", {"marks": 2, "leaves": 5})]
    assert not await served.marks.open()


async def test_many_sources_at_once_wait_for_one_transaction(served: Served) -> None:
    appended = list[int]()
    append = served.store.append
    first, go = asyncio.Event(), asyncio.Event()

    async def slow(growths: object) -> int:
        appended.append(1)
        first.set()
        await go.wait()
        return await append(growths)  # type: ignore[arg-type]

    served.store.append = slow  # type: ignore[method-assign, assignment]
    one = asyncio.create_task(served.post(lines(1)))
    await first.wait()
    who = [("acme", "spooler"), ("acme", "mfp"), ("other", "spooler")]
    rest = [
        asyncio.create_task(
            served.post(
                b"\n".join(line(10 * n + k, tenant=tenant, source=source) for k in range(3)),
                who=(tenant, source),
            )
        )
        for n in range(1, 5)
        for tenant, source in who
    ]
    twice = asyncio.create_task(served.post(lines(1, 10)))
    while len(served.taking._gathering._waiting) < 13:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    go.set()
    answers = [each.json() for each in await asyncio.gather(one, *rest)]
    assert len(appended) == 2
    assert all(len(each["taken"]) == 1 and not each["conflicts"] for each in answers)
    leaves = [each["taken"][0]["leaf"] for each in answers[1:]]
    of_acme = [leaf for n, leaf in enumerate(leaves) if who[n % 3][0] == "acme"]
    assert sorted(of_acme) == list(range(1, 25, 3))
    assert sorted(set(leaves) - set(of_acme)) == [0, 3, 6, 9]
    told = (await twice).json()
    assert (told["taken"], sum(each["last"] - each["first"] + 1 for each in told["repeated"])) == ([], 2)


async def test_a_failed_transaction_is_told_to_all_who_waited_and_holds_up_nobody(served: Served) -> None:
    append, failing = served.store.append, [True]

    async def fails(growths: object) -> int:
        if failing:
            raise RuntimeError(failing.pop())
        return await append(growths)  # type: ignore[arg-type]

    served.store.append = fails  # type: ignore[method-assign, assignment]
    found = await asyncio.gather(*(served.post(lines(n), who=("acme", "spooler")) for n in range(3)))
    assert 500 in [each.status_code for each in found]
    assert (await served.post(lines(0, 1, 2))).json()["size"] == 3


async def test_a_damaged_log_is_no_matter_of_other_tenants(served: Served) -> None:
    head, gathered = served.store.head, asyncio.Event()

    async def damaged(tenant: str) -> object:
        await gathered.wait()
        if tenant == "other":
            raise LogDamaged("tiles are missing")
        return await head(tenant)

    served.store.head = damaged  # type: ignore[method-assign, assignment]
    posts = [
        served.post(lines(1), who=("acme", "spooler")),
        served.post(lines(1, source="mfp"), who=("acme", "mfp")),
        served.post(lines(1, tenant="other"), who=("other", "spooler")),
        served.post(lines(2), who=("acme", "spooler")),
    ]
    came, append = list[object](), served.taking._gathering.append

    async def counted(prepared: Prepared) -> object:
        came.append(prepared)
        return await append(prepared)

    served.taking._gathering.append = counted  # type: ignore[method-assign, assignment]
    sending = [asyncio.create_task(each) for each in posts]
    while len(came) < 4:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    gathered.set()
    found = [each.status_code for each in await asyncio.gather(*sending)]
    assert found == [200, 200, 503, 200]
    assert [type(each) for each in served.troubles] == [LogDamaged]


async def test_health_and_figures(served: Served) -> None:
    await served.post(lines(1, 2) + b"\nbad")
    assert (await served.call("GET", "/health")).json() == {"status": "ok"}
    assert (await served.call("GET", "/health/ready")).status_code == 200
    metrics = await served.call("GET", "/metrics")
    assert 'holdfast_ledger_records_total{outcome="taken"} 2\n' in metrics.text
    assert 'holdfast_ledger_records_total{outcome="refused"} 1\n' in metrics.text
    assert 'holdfast_ledger_requests_total{status="200"} 1\n' in metrics.text
    assert metrics.text.endswith("# EOF\n")
    assert "acme" not in metrics.text
    assert json.loads((await served.call("GET", "/nowhere")).text)["status"] == 404
