"""A small HTTP server for the lab's own programs: JSON in, JSON out, one thread per request, bounded."""

import base64
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MAX_BODY_BYTES = 64 * 1024
Answer = tuple[int, object]
Handler = Callable[[Mapping[str, object]], Answer]


@dataclass(frozen=True, slots=True)
class Login:
    """Who may send a request that changes something (RFC 7617, Basic)."""

    user: str
    password: str

    def admits(self, header: str) -> bool:
        expected = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        return hmac.compare_digest(header.encode(), f"Basic {expected}".encode())


def serve(
    address: tuple[str, int], routes: Mapping[tuple[str, str], Handler], login: Login
) -> ThreadingHTTPServer:
    """A bound server whose `serve_forever` is the caller's to run.

    `routes` maps method and path to a handler, which gets the request's JSON object (empty for GET). Every
    method but GET needs the login.
    """

    class Handling(BaseHTTPRequestHandler):
        timeout = 10  # for a client that does not send; read by the base class
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            self._answer(*self._decide())

        def _decide(self) -> Answer:
            handler = routes.get((self.command, self.path.partition("?")[0]))
            if handler is None:
                return 404, {"error": "no such resource"}
            if self.command == "GET":
                return handler({})
            if not login.admits(self.headers.get("authorization", "")):
                return 401, {"error": "a login is needed"}
            length = self.headers.get("content-length", "0")
            if not length.isdecimal() or int(length) > MAX_BODY_BYTES:
                return 413, {"error": f"at most {MAX_BODY_BYTES} bytes, of a length that is said before"}
            try:
                body = json.loads(self.rfile.read(int(length)) or b"{}")
            except (ValueError, RecursionError):
                return 400, {"error": "not JSON"}
            if not isinstance(body, dict):
                return 400, {"error": "not a JSON object"}
            return handler(body)

        def _answer(self, status: int, content: object) -> None:
            text = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(text)))
            if status == 401:
                self.send_header("www-authenticate", "Basic")
            if status >= 400:
                # The body of a refused request was not read, and would be taken for the next request.
                self.send_header("connection", "close")
                self.close_connection = True
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_PUT = do_POST = _handle  # noqa: N815  the names the base class asks for

        def log_message(self, *_: object) -> None:
            """Requests are not logged: the lab is asked every moment."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        allow_reuse_address = True

        def handle_error(self, request: object, client_address: object) -> None:
            """A client that went away is not our fault."""

    return Server(address, Handling)


def fence_of(body: Mapping[str, object]) -> tuple[int, int] | None:
    """The (epoch, turn) that a request carries; None when it carries none. Raises ValueError."""
    fence = body.get("fence")
    if fence is None:
        return None
    if isinstance(fence, list) and len(fence) == 2 and all(type(each) is int for each in fence):
        return fence[0], fence[1]
    raise ValueError("fence is [epoch, turn], two whole numbers")
