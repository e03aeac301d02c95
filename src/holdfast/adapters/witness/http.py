"""A witness elsewhere, asked by HTTP. Source: C2SP tlog-witness, `add-checkpoint`."""

import ssl
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp

from holdfast.ledger.errors import Fork, ProofRefused, WitnessAway, WitnessRefused
from holdfast.ledger.log.notes import Signature, VerifierKey, parse_signatures
from holdfast.ledger.log.witness import SIZE_TYPE, Addition

MOST_ANSWER_BYTES = 64 * 1024
_KNOWN_LOGS = (
    "the witness must be started with the log's verifier key (--log): "
    "holdfast ledger key show, or holdfast evidence key"
)


class HttpWitness:
    """`Witness` at an address, over connections that stay open. Enter it before it is asked."""

    def __init__(
        self, url: str, key: VerifierKey, *, ca_file: Path | None = None, patience_s: float = 10.0
    ) -> None:
        """`key` is the witness's own. Raises WitnessRefused for authorities that cannot be read."""
        self._url = f"{url.rstrip('/')}/add-checkpoint"
        self._key = key
        self._patience = aiohttp.ClientTimeout(total=patience_s)
        try:
            self._trust = ssl.create_default_context(cafile=ca_file) if url.startswith("https:") else None
        except OSError as error:
            raise WitnessRefused(f"{ca_file} holds no authorities", hint="give a PEM file") from error
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(ssl=self._trust or True, limit=16)
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=self._patience, cookie_jar=aiohttp.DummyCookieJar()
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def cosign(self, addition: Addition) -> Signature | int:
        status, kind, body = await self._asked(addition)
        if status == 200:
            return self._signature(body)
        if status == 409:
            if kind == SIZE_TYPE and body.strip().isdigit() and len(body) < 22:
                return int(body)
            raise Fork("the witness has cosigned another checkpoint of that size")
        if status == 422:
            raise Fork(
                f"the witness refuses: {_told(body)}",
                hint="what it cosigned is not what the log goes on from: see docs/ledger-proof.md",
            )
        if status in {400, 403, 404}:
            raise WitnessRefused(f"the witness answers {status}: {_told(body)}", hint=_KNOWN_LOGS)
        raise WitnessAway(f"the witness answers {status}")

    async def _asked(self, addition: Addition) -> tuple[int, str, str]:
        if self._session is None:
            raise WitnessAway("nobody has entered the witness yet")
        request = self._session.post(self._url, data=addition.text.encode(), allow_redirects=False)
        try:
            async with request as response:
                body = bytearray()
                async for chunk in response.content.iter_chunked(8192):
                    body += chunk
                    if len(body) > MOST_ANSWER_BYTES:
                        raise WitnessAway("the witness answers with more than an answer is long")
                return response.status, response.content_type, body.decode(errors="replace")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise WitnessAway(f"the witness does not answer: {str(error) or type(error).__name__}") from error

    def _signature(self, body: str) -> Signature:
        try:
            found = [each for each in parse_signatures(body) if each.is_by(self._key)]
        except ProofRefused as error:
            raise WitnessAway("the witness answers with no signature") from error
        if not found:
            raise WitnessRefused(
                f"the witness signs with another key than that of {self._key.name!r}",
                hint="put its verifier key into the estate: `key` of that witness",
            )
        return found[0]


def _told(body: str) -> str:
    """The first line, for people."""
    return "".join(each for each in body[:200].partition("\n")[0] if each.isprintable()) or "nothing more"
