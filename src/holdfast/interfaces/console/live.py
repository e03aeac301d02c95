"""Pages that keep themselves current: the only ones of the console that have a script, and only this one.

A page is complete without it. The script asks for the same page each second and puts in what has changed of
the elements that have `data-live`; it stops when the page is no longer `live`, when nobody has touched it for
as long as a session may be idle, and while it cannot be seen.
"""

from starlette.requests import Request
from starlette.responses import Response

from holdfast.interfaces.console.assets import script
from holdfast.interfaces.console.guard import POLICY
from holdfast.interfaces.console.shell import page, shell_of

LIVE_POLICY = f"{POLICY}; script-src 'self'; connect-src 'self'"


def live_page(
    request: Request, template: str, *, live: bool = True, status: int = 200, **context: object
) -> Response:
    """As `page`, with the script. Without `live` it stays as it is."""
    idle = shell_of(request).settings().idle
    response = page(
        request,
        template,
        status=status,
        script=script() if live else "",
        idle_s=round(idle.total_seconds()),
        **context,
    )
    if live:
        response.headers["content-security-policy"] = LIVE_POLICY
    return response
