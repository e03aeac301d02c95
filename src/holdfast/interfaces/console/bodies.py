"""Forms, read within bounds of size, time and number of fields."""

import asyncio
from urllib.parse import parse_qsl

from starlette.datastructures import ImmutableMultiDict
from starlette.exceptions import HTTPException
from starlette.requests import Request

MOST_BYTES = 256 * 1024
MOST_FIELDS = 2000
WITHIN_S = 20.0
_URL_ENCODED = "application/x-www-form-urlencoded"

Form = ImmutableMultiDict[str, str]


async def read_form(request: Request) -> Form:
    """The fields of a form, in order, line ends as LF. Raises HTTPException 400, 408, 413 or 415."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _URL_ENCODED:
        raise HTTPException(415, "this is not a form")
    try:
        async with asyncio.timeout(WITHIN_S):
            body = await _read(request)
    except TimeoutError:
        raise HTTPException(408, "the form took too long") from None
    try:
        fields = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(body),
            errors="strict",
            max_num_fields=MOST_FIELDS,
        )
    except ValueError:
        raise HTTPException(400, "the form cannot be read") from None
    if any("\0" in text for pair in fields for text in pair):
        raise HTTPException(400, "the form cannot be read")
    return ImmutableMultiDict([(name, text.replace("\r\n", "\n")) for name, text in fields])


async def _read(request: Request) -> bytes:
    declared = request.headers.get("content-length", "0")
    if not declared.isdigit() or int(declared) > MOST_BYTES:
        raise HTTPException(413, "the form is too large")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise HTTPException(413, "the form is too large")
    return bytes(body)
