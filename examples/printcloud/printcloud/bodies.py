"""Request bodies, read within bounds."""

from starlette.exceptions import HTTPException
from starlette.requests import Request

from printcloud.jobs import MAX_INPUT_BYTES


async def read_bounded(request: Request) -> bytes:
    """The body; 413 as soon as it is longer than MAX_INPUT_BYTES."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_INPUT_BYTES:
            raise HTTPException(413, f"{MAX_INPUT_BYTES} bytes are the most")
    return body
