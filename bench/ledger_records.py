"""Records as a print service posts them, and the table of typed rows one would otherwise keep them in."""

import json
import random
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

import msgspec

TENANT, SOURCE = "acme", "spooler-1"
BATCH = 10_000
BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
SPAN_S = 28 * 86_400
USERS, DEVICES, COST_CENTRES = 1_000, 50, 30

RAW_TABLE = """
CREATE TABLE raw (
    tenant text NOT NULL, source text NOT NULL, epoch bigint NOT NULL, seq bigint NOT NULL, job text NOT NULL,
    kind text NOT NULL, occurred_at timestamptz NOT NULL, reported_at timestamptz, reporter text, device text,
    "user" text, cost_centre text, document_format text, document_pages integer, sheets jsonb,
    mono_impressions integer, colour_impressions integer, duplex boolean, status text NOT NULL, prices jsonb,
    quality text NOT NULL,
    PRIMARY KEY (tenant, source, epoch, seq)
)
"""
"""Typed rows with the one key that makes a record the same one; no other index, no proof."""
RAW_COPY = "COPY raw FROM STDIN"


class Records:
    """Records of one source, numbered on from batch to batch."""

    def __init__(self, seed: int = 1, source: str = SOURCE, *, tenant: str = TENANT, days: int = 28) -> None:
        self._dice = random.Random(seed)
        self._source = source
        self._tenant = tenant
        self._span_ms = days * 86_400_000
        self._seq = 0

    def batch(self, count: int = BATCH) -> bytes:
        """So many more, as NDJSON."""
        return b"\n".join([msgspec.json.encode(self._next()) for _ in range(count)])

    def _next(self) -> dict[str, object]:
        dice = self._dice
        self._seq += 1
        at = BEGIN + timedelta(milliseconds=dice.randrange(self._span_ms))
        return {
            "tenant": self._tenant,
            "source": self._source,
            "epoch": 1,
            "seq": self._seq,
            "job": f"{dice.getrandbits(48):x}",
            "kind": dice.choice(("print", "print", "scan", "copy")),
            "occurred_at": at,
            "reported_at": at + timedelta(seconds=dice.randint(1, 90)),
            "reporter": "spooler-1",
            "device": f"device-{dice.randrange(DEVICES)}",
            "user": f"{dice.randrange(USERS) * 7_919_771_003:016x}",
            "cost_centre": f"c{dice.randrange(COST_CENTRES)}",
            "document": {"format": "pdf", "pages": dice.randint(1, 30)},
            "sheets": {"A4": dice.randint(1, 30)},
            "mono_impressions": dice.randint(0, 40),
            "colour_impressions": dice.randint(0, 40),
            "duplex": dice.random() < 0.5,
            "status": "completed",
            "prices": {"total": {"amount": dice.randint(1, 400), "currency": "EUR"}},
        }


def copied(body: bytes) -> bytes:
    """The same records as text for COPY. Making it is nobody's cost."""
    return "".join(_lines(map(json.loads, body.split(b"\n")))).encode()


def _lines(records: Iterable[dict[str, object]]) -> Iterator[str]:
    plain = (
        "tenant",
        "source",
        "epoch",
        "seq",
        "job",
        "kind",
        "occurred_at",
        "reported_at",
        "reporter",
        "device",
        "user",
        "cost_centre",
    )
    for record in records:
        document = record["document"]
        assert isinstance(document, dict)
        cells = [
            *(record[name] for name in plain),
            document["format"],
            document["pages"],
            json.dumps(record["sheets"]),
            record["mono_impressions"],
            record["colour_impressions"],
            "t" if record["duplex"] else "f",
            record["status"],
            json.dumps(record["prices"]),
            "exact",
        ]
        yield "\t".join(map(str, cells)) + "\n"
