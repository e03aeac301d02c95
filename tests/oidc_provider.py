"""An OpenID Connect provider as a process of its own: small, strict, and able to misbehave.

    python tests/oidc_provider.py PORT

It prints `ready` once it answers. Whoever types a name into its form is that person; the groups are typed
beside it. `POST /test/mode` with a word of `MODES` makes what follows wrong in that way; `POST /test/rotate`
puts another key in force. It checks what a provider has to check of its clients: the redirect address, PKCE,
the secret, and that a code is used once.
"""

import asyncio
import base64
import hashlib
import secrets
import socket
import sys
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import uvicorn
from joserfc import jwk, jwt
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

CLIENT, SECRET = "holdfast", "a secret: with/odd chars & +"
MODES = (
    *("", "wrong nonce", "no nonce", "wrong audience", "many audiences", "wrong issuer", "expired", "future"),
    *(
        "alg none",
        "hmac with public key",
        "other key",
        "unknown kid",
        "no subject",
        "no id token",
        "not json",
    ),
    *("too large", "compressed", "slow", "redirect", "error", "wrong state", "other iss", "wrong at_hash"),
    *("discovery other issuer", "discovery without keys", "broken signature", "secret in body", "no kid"),
)


class ProviderState:
    def __init__(self, issuer: str) -> None:
        self.issuer = issuer
        self.mode = ""
        self.keys = [_key("one")]
        self.grants: dict[str, dict[str, str]] = {}
        self.seen: list[str] = []

    @property
    def public_keys(self) -> dict[str, Any]:
        keys = [key.as_dict(private=False) for key in self.keys]
        shared = {
            "kty": "oct",
            "kid": "shared",
            "k": base64.urlsafe_b64encode(b"x" * 32).decode().rstrip("="),
        }
        return {"keys": [*keys, shared, {"kty": "unheard-of", "kid": "odd"}, "nonsense"]}


def _key(kid: str) -> jwk.RSAKey:
    return jwk.RSAKey.generate_key(2048, parameters={"kid": kid, "use": "sig", "alg": "RS256"})


def create_provider(issuer: str) -> Starlette:
    app = Starlette(
        routes=[
            Route("/.well-known/openid-configuration", discovery),
            Route("/authorize", authorize, methods=["GET", "POST"]),
            Route("/token", token, methods=["POST"]),
            Route("/keys", keys),
            Route("/test/mode", set_mode, methods=["POST"]),
            Route("/test/rotate", rotate, methods=["POST"]),
            Route("/test/seen", seen),
        ]
    )
    app.state.provider = ProviderState(issuer)
    return app


def _provider(request: Request) -> ProviderState:
    provider: ProviderState = request.app.state.provider
    provider.seen.append(f"{request.method} {request.url.path}")
    return provider


async def set_mode(request: Request) -> Response:
    mode = (await request.body()).decode()
    if mode not in MODES:
        return PlainTextResponse(f"no mode {mode!r}", 400)
    request.app.state.provider.mode = mode
    return PlainTextResponse(mode)


async def rotate(request: Request) -> Response:
    provider = request.app.state.provider
    provider.keys = [_key(secrets.token_hex(4))]
    return PlainTextResponse("rotated")


async def seen(request: Request) -> Response:
    found = list(request.app.state.provider.seen)
    request.app.state.provider.seen.clear()
    return JSONResponse(found)


async def discovery(request: Request) -> Response:
    provider = _provider(request)
    document = {
        "issuer": provider.issuer,
        "authorization_endpoint": f"{provider.issuer}/authorize",
        "token_endpoint": f"{provider.issuer}/token",
        "jwks_uri": f"{provider.issuer}/keys",
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "authorization_response_iss_parameter_supported": True,
    }
    match provider.mode:
        case "discovery other issuer":
            document["issuer"] = "https://other.example"
        case "discovery without keys":
            del document["jwks_uri"]
        case "secret in body":
            document["token_endpoint_auth_methods_supported"] = ["client_secret_post"]
        case "not json":
            return PlainTextResponse("<html>")
        case "redirect":
            return RedirectResponse(f"{provider.issuer}/keys")
        case "slow":
            await asyncio.sleep(60)
    return JSONResponse(document)


async def authorize(request: Request) -> Response:
    """A form to log in with, and then back to the client."""
    provider = _provider(request)
    asked = request.query_params
    wrong = [
        name
        for name, text in {
            "response_type": "code",
            "client_id": CLIENT,
            "code_challenge_method": "S256",
        }.items()
        if asked.get(name) != text
    ]
    if wrong or "openid" not in asked.get("scope", "").split() or not asked.get("state"):
        return PlainTextResponse(f"wrong: {wrong}", 400)
    if not asked.get("redirect_uri", "").endswith("/login/openid/return"):
        return PlainTextResponse("this redirect_uri is not registered", 400)
    if request.method == "GET":
        return HTMLResponse(
            '<!doctype html><html lang="en"><title>Provider</title><form method="post">'
            '<label>User <input name="user"></label><label>Groups <input name="groups"></label>'
            "<button>Log in there</button></form></html>"
        )
    fields = await request.form()
    code = secrets.token_urlsafe(16)
    provider.grants[code] = {
        **{name: asked[name] for name in ("redirect_uri", "code_challenge", "nonce")},
        "user": str(fields.get("user", "")),
        "groups": str(fields.get("groups", "")),
    }
    answer = {"code": code, "state": asked["state"], "iss": provider.issuer}
    match provider.mode:
        case "error":
            answer = {"error": "access_denied", "state": asked["state"], "iss": provider.issuer}
        case "wrong state":
            answer["state"] = "of another login"
        case "other iss":
            answer["iss"] = "https://other.example"
    return RedirectResponse(f"{asked['redirect_uri']}?{urlencode(answer)}", 303)


async def token(request: Request) -> Response:
    provider = _provider(request)
    fields = {name: str(text) for name, text in (await request.form()).items()}
    grant = provider.grants.pop(fields.get("code", ""), None)
    trouble = _trouble(provider, request, fields, grant)
    if trouble is not None or grant is None:
        return JSONResponse({"error": trouble}, 401 if trouble == "invalid_client" else 400)
    match provider.mode:
        case "too large":
            return Response(b'{"x": "' + b"x" * 2_000_000 + b'"}', media_type="application/json")
        case "compressed":
            return Response(b"x", media_type="application/json", headers={"content-encoding": "gzip"})
        case "no id token":
            return JSONResponse({"access_token": "a", "token_type": "Bearer"})
    issued = {"access_token": "an access token", "token_type": "Bearer", "expires_in": 60}
    return JSONResponse({**issued, "id_token": id_token(provider, grant)})


def _trouble(
    provider: ProviderState, request: Request, fields: Mapping[str, str], grant: Mapping[str, str] | None
) -> str | None:
    if provider.mode == "secret in body":
        known = (fields.get("client_id"), fields.get("client_secret")) == (CLIENT, SECRET)
    else:
        given = request.headers.get("authorization", "").removeprefix("Basic ")
        quoted = urlencode({"x": SECRET}).removeprefix("x=")
        known = base64.b64decode(given).decode() == f"{CLIENT}:{quoted}"
    if not known:
        return "invalid_client"
    if grant is None or fields.get("grant_type") != "authorization_code":
        return "invalid_grant"
    digest = hashlib.sha256(fields.get("code_verifier", "").encode()).digest()
    challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    if challenge != grant["code_challenge"] or fields.get("redirect_uri") != grant["redirect_uri"]:
        return "invalid_grant"
    return None


def id_token(provider: ProviderState, grant: Mapping[str, str]) -> str:
    now = int(time.time())
    claims: dict[str, Any] = {
        "iss": provider.issuer,
        "sub": f"id of {grant['user']}",
        "aud": CLIENT,
        "iat": now,
        "exp": now + 300,
        "nonce": grant["nonce"],
        "preferred_username": grant["user"],
        "name": grant["user"].title(),
        "groups": grant["groups"].split(),
    }
    key = provider.keys[-1]
    header = {"alg": "RS256", "kid": str(key.kid)}
    match provider.mode:
        case "wrong nonce":
            claims["nonce"] = "of another login"
        case "no nonce":
            del claims["nonce"]
        case "wrong audience":
            claims["aud"] = "another client"
        case "many audiences":
            claims |= {"aud": [CLIENT, "another client"], "azp": "another client"}
        case "wrong issuer":
            claims["iss"] = "https://other.example"
        case "expired":
            claims |= {"iat": now - 7200, "exp": now - 3600}
        case "future":
            claims |= {"iat": now + 7200, "nbf": now + 7200, "exp": now + 9000}
        case "no subject":
            del claims["sub"]
        case "wrong at_hash":
            claims["at_hash"] = 7
        case "other key":
            return jwt.encode(header, claims, _key(str(key.kid)))
        case "unknown kid":
            return jwt.encode({**header, "kid": "never seen"}, claims, key)
        case "no kid":
            return jwt.encode({"alg": "RS256"}, claims, key)
        case "hmac with public key":
            # The confusion of RFC 8725, 2.1: the public key, as text, taken for a shared secret.
            shared = jwk.OctKey.import_key(key.as_pem(private=False).replace(b"-----", b""))
            return jwt.encode({"alg": "HS256", "kid": str(key.kid)}, claims, shared, algorithms=["HS256"])
        case "alg none":
            parts = [base64.urlsafe_b64encode(each).rstrip(b"=").decode() for each in _unsigned(claims)]
            return ".".join([*parts, ""])
    encoded = jwt.encode(header, claims, key)
    if provider.mode == "broken signature":
        head, _, signature = encoded.rpartition(".")
        return f"{head}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"
    return encoded


def _unsigned(claims: Mapping[str, Any]) -> tuple[bytes, bytes]:
    import json  # noqa: PLC0415

    return b'{"alg":"none","typ":"JWT"}', json.dumps(claims).encode()


async def keys(request: Request) -> Response:
    return JSONResponse(_provider(request).public_keys)


async def main(port: int) -> None:
    app = create_provider(f"http://127.0.0.1:{port}")
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1)
    listening = socket.create_server(("127.0.0.1", port))
    print("ready", flush=True)  # noqa: T201  whoever started this waits for it; what comes now is queued
    await uvicorn.Server(config).serve([listening])


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
