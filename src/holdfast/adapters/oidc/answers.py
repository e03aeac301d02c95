"""Answers of a provider, read within bounds."""

from collections.abc import Mapping
from typing import Any

import httpx
import msgspec

MOST_BYTES = 256 * 1024
_DOCUMENT = msgspec.json.Decoder(dict[str, Any])


class TooLargeError(httpx.HTTPError):
    """The answer is larger than any provider's needs to be."""


async def read_json(http: httpx.AsyncClient, method: str, url: str, **how: Any) -> Mapping[str, Any]:
    """The JSON object of one answer. An answer of 400 may say why, and is read too.

    Raises httpx.HTTPError and msgspec.DecodeError.
    """
    headers = {"accept": "application/json", "accept-encoding": "identity"}
    async with http.stream(method, url, headers=headers, **how) as answer:
        if answer.status_code not in {200, 400, 401}:
            raise httpx.HTTPStatusError(
                f"status {answer.status_code}", request=answer.request, response=answer
            )
        if "content-encoding" in answer.headers:
            raise TooLargeError("a compressed answer may be of any size")
        body = bytearray()
        async for chunk in answer.aiter_raw():
            body += chunk
            if len(body) > MOST_BYTES:
                raise TooLargeError(f"more than {MOST_BYTES} bytes")
    return _DOCUMENT.decode(bytes(body))
