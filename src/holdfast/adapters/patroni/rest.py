"""One request to a REST API of Patroni's kind, and its answer."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import aiohttp

MOST_ANSWER_BYTES = 1024 * 1024


class Away(Exception):  # noqa: N818  what happened, not a mistake
    """It did not answer in time, or not as one can read."""


@dataclass(frozen=True, slots=True)
class Login:
    """Who may change something (RFC 7617, Basic)."""

    user: str
    password: str

    @property
    def header(self) -> str:
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode("ascii")


@dataclass(frozen=True, slots=True)
class Answer:
    """`value` is the JSON in it; None when it is plain text, as most of Patroni's verdicts are."""

    status: int
    value: object
    text: str

    @property
    def content(self) -> Mapping[str, object]:
        """The JSON object; empty for anything else."""
        return self.value if isinstance(self.value, dict) else {}

    @property
    def words(self) -> str:
        """What it says, in one line, for people."""
        told = self.content.get("error", self.text)
        return "".join(each for each in str(told)[:300].partition("\n")[0] if each.isprintable()) or "nothing"


async def ask(
    method: str,
    url: str,
    patience: timedelta,
    *,
    body: Mapping[str, object] | None = None,
    login: Login | None = None,
) -> Answer:
    """The answer, whatever its status. Raises Away."""
    # A connection of its own for each question: they are few, and one that was cut without a word would be
    # found out by a time-out only.
    async with aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=patience.total_seconds()),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=None if login is None else {"authorization": login.header},
    ) as session:
        try:
            async with session.request(method, url, json=body, allow_redirects=False) as response:
                text = await _read(response)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Away(str(error) or type(error).__name__) from error
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    return Answer(response.status, value, text.decode(errors="replace"))


async def _read(response: aiohttp.ClientResponse) -> bytes:
    text = bytearray()
    async for chunk in response.content.iter_chunked(64 * 1024):
        text += chunk
        if len(text) > MOST_ANSWER_BYTES:
            raise Away(f"it answers with more than {MOST_ANSWER_BYTES} bytes")
    return bytes(text)
