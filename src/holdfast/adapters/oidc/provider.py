"""An OpenID Connect provider: authorization code with PKCE, state and nonce (OpenID Connect Core 1.0, 3.1).

What a provider answers is believed only when it is signed with a key that its own key set holds, under an
algorithm with a public key; when issuer, audience, times and nonce are ours; and when it came in time and in
size. Requests go to the addresses that the provider's discovery names, on the issuer's own scheme.
"""

import asyncio
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from authlib.oidc.discovery import get_well_known_url
from joserfc import jwk, jws, jwt
from joserfc.errors import JoseError

from holdfast.adapters.oidc.answers import read_json
from holdfast.identity.errors import Refused, Unavailable
from holdfast.identity.model import Vouched
from holdfast.identity.ports import Departure
from holdfast.kernel.clock import Clock

WITHIN_S = 10.0
DISCOVERED_FOR_S = 3600.0
KEYS_AGAIN_AFTER_S = 30.0
LEEWAY_S = 60
ALGORITHMS = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
    "Ed25519",
)
"""With a public key only: an HMAC under a key that everybody can read, or no signature, proves nothing."""
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_MOST_CLAIM = 255


@dataclass(frozen=True, slots=True)
class Client:
    """Who we are at the provider."""

    name: str
    issuer: str
    client_id: str
    client_secret: str
    scopes: tuple[str, ...] = ("openid",)

    def __repr__(self) -> str:
        return f"Client({self.issuer!r}, {self.client_id!r})"


@dataclass(frozen=True, slots=True)
class _Metadata:
    authorize: str
    token: str
    keys: str
    secret_in_body: bool
    names_itself: bool
    known_at: float


class OpenIdProvider:
    """A Provider. What it publishes of itself is kept for an hour, its keys until one is missing."""

    def __init__(self, client: Client, clock: Clock, *, within_s: float = WITHIN_S) -> None:
        self._client = client
        self._clock = clock
        self._within_s = within_s
        self._metadata: _Metadata | None = None
        self._keys: jwk.KeySet | None = None
        self._keys_at = 0.0
        self._reading_keys = asyncio.Lock()

    @property
    def name(self) -> str:
        return self._client.name

    async def depart(self, return_to: str) -> Departure:
        async with self._session() as http:
            metadata = await self._discovered(http)
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        url = prepare_grant_uri(
            metadata.authorize,
            self._client.client_id,
            "code",
            redirect_uri=return_to,
            scope=list(dict.fromkeys(["openid", *self._client.scopes])),
            state=state,
            nonce=nonce,
            code_challenge=create_s256_code_challenge(verifier),
            code_challenge_method="S256",
        )
        return Departure(str(url), state, nonce, verifier)

    async def arrive(self, answer: Mapping[str, str], departure: Departure, return_to: str) -> Vouched:
        if not hmac.compare_digest(answer.get("state", "").encode(), departure.state.encode()):
            raise Refused("the provider's answer belongs to another login")
        if "error" in answer or not answer.get("code"):
            raise Refused(f"the provider refused ({_word(answer.get('error', 'no code'))})")
        async with self._session() as http:
            metadata = await self._discovered(http)
            # Another provider's answer, sent to us instead (RFC 9207).
            if (
                answer.get("iss", None if metadata.names_itself else self._client.issuer)
                != self._client.issuer
            ):
                raise Refused("another provider answered")
            token = await self._exchanged(http, metadata, answer["code"], departure, return_to)
            claims = await self._verified(http, metadata, token, departure)
        return Vouched(self._client.issuer, claims["sub"], dict(claims))

    # --- the provider's own pages

    async def _discovered(self, http: httpx.AsyncClient) -> _Metadata:
        known, now = self._metadata, self._clock.monotonic()
        if known is not None and now - known.known_at < DISCOVERED_FOR_S:
            return known
        check_address(self._client.issuer)
        found = await self._read(http, "GET", get_well_known_url(self._client.issuer, external=True))
        if found.get("issuer") != self._client.issuer:
            raise Unavailable(f"{self._client.issuer} calls itself {_word(found.get('issuer'))}")
        methods = found.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        self._metadata = _Metadata(
            self._address(found, "authorization_endpoint"),
            self._address(found, "token_endpoint"),
            self._address(found, "jwks_uri"),
            "client_secret_basic" not in methods,
            found.get("authorization_response_iss_parameter_supported") is True,
            now,
        )
        return self._metadata

    def _address(self, found: Mapping[str, Any], name: str) -> str:
        address = found.get(name)
        if not isinstance(address, str):
            raise Unavailable(f"the provider names no {name}")
        check_address(address)
        if urlsplit(self._client.issuer).scheme == "https" and urlsplit(address).scheme != "https":
            raise Unavailable(f"the provider's {name} is not https")
        return address

    async def _exchanged(
        self, http: httpx.AsyncClient, metadata: _Metadata, code: str, departure: Departure, return_to: str
    ) -> str:
        """The ID token for that code."""
        fields = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": return_to,
            "code_verifier": departure.verifier,
        }
        auth = None
        if metadata.secret_in_body:
            fields |= {"client_id": self._client.client_id, "client_secret": self._client.client_secret}
        else:
            auth = httpx.BasicAuth(_quoted(self._client.client_id), _quoted(self._client.client_secret))
        found = await self._read(http, "POST", metadata.token, data=fields, auth=auth)
        token = found.get("id_token")
        if not isinstance(token, str):
            raise Refused(f"the provider gave no ID token ({_word(found.get('error', 'none'))})")
        return token

    # --- what a token must be like

    async def _verified(
        self, http: httpx.AsyncClient, metadata: _Metadata, token: str, departure: Departure
    ) -> Mapping[str, Any]:
        try:
            header = jws.extract_compact(token.encode()).headers()
            algorithm = header.get("alg")
            if algorithm not in ALGORITHMS:
                raise Refused(f"the ID token is signed by {_word(algorithm)}")
            key = await self._key(http, metadata, header.get("kid"), algorithm)
            decoded = jwt.decode(token, key, algorithms=[algorithm])
            claims = CodeIDToken(
                decoded.claims,
                decoded.header,
                {
                    "iss": {"essential": True, "value": self._client.issuer},
                    "aud": {"essential": True, "value": self._client.client_id},
                },
                {"nonce": departure.nonce, "client_id": self._client.client_id},
            )
            claims.validate(now=int(self._clock.now().timestamp()), leeway=LEEWAY_S)
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise Refused(f"the ID token does not hold ({type(error).__name__}: {_word(error)})") from error
        subject = claims.get("sub")
        if not isinstance(subject, str) or not 0 < len(subject) <= _MOST_CLAIM:
            raise Refused("the ID token does not say who it is for")
        verified: Mapping[str, Any] = claims
        return verified

    async def _key(
        self, http: httpx.AsyncClient, metadata: _Metadata, kid: object, algorithm: str
    ) -> jwk.Key:
        """The public key of that name. Keys rotate: a new name is looked for once more, now and then."""
        async with self._reading_keys:
            key = _fitting(self._keys, kid, algorithm)
            stale = self._keys is None or self._clock.monotonic() - self._keys_at >= KEYS_AGAIN_AFTER_S
            if key is None and stale:
                # Noted first: a provider that is away is not asked with every attempt.
                self._keys_at = self._clock.monotonic()
                self._keys = _key_set(await self._read(http, "GET", metadata.keys))
                key = _fitting(self._keys, kid, algorithm)
        if key is None:
            raise Refused("the ID token is signed with a key that the provider does not publish")
        return key

    # --- asking

    def _session(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            timeout=self._within_s,
            follow_redirects=False,
            trust_env=False,
            limits=httpx.Limits(max_connections=4),
        )

    async def _read(self, http: httpx.AsyncClient, method: str, url: str, **how: Any) -> Mapping[str, Any]:
        try:
            async with asyncio.timeout(self._within_s):
                return await read_json(http, method, url, **how)
        except (TimeoutError, httpx.HTTPError, httpx.InvalidURL, msgspec.DecodeError) as error:
            where = urlsplit(url).netloc
            raise Unavailable(
                f"the provider at {where} does not answer as it should ({type(error).__name__})",
                hint="try again, or log in with a password",
            ) from error


def check_address(address: str) -> None:
    """Raises Unavailable for a provider whose answers anybody on the way could write."""
    try:
        parts = urlsplit(address)
        host = parts.hostname
    except ValueError:
        host = None
        parts = urlsplit("")
    if host is None or not (parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK)):
        raise Unavailable(f"{_word(address)} is no https address", hint="see console.openid.issuer")


def _key_set(found: Mapping[str, Any]) -> jwk.KeySet:
    """The public keys for signatures in it; what is none of these is left out."""
    keys: list[jwk.Key] = []
    for each in found.get("keys") or ():
        if (
            not isinstance(each, dict)
            or each.get("kty") not in {"RSA", "EC", "OKP"}
            or each.get("use") == "enc"
        ):
            continue
        try:
            keys.append(jwk.import_key({name: part for name, part in each.items() if name != "d"}))
        except (JoseError, ValueError, TypeError):
            continue  # a kind of key that we do not know is none that we need
    return jwk.KeySet(keys)


def _fitting(keys: jwk.KeySet | None, kid: object, algorithm: str) -> jwk.Key | None:
    """By its name; without a name, the only one of its kind."""
    kind = {"R": "RSA", "P": "RSA"}.get(algorithm[0], "OKP" if algorithm.startswith("Ed") else "EC")
    found = [key for key in keys or () if key.key_type == kind and key.get("alg", algorithm) == algorithm]
    if kid is not None:
        found = [key for key in found if key.kid == kid]
    return found[0] if len(found) == 1 else None


def _quoted(text: str) -> str:
    """As RFC 6749, 2.3.1 wants a name or a secret before it is put into Basic."""
    return httpx.QueryParams({"x": text}).__str__().removeprefix("x=")


def _word(said: object) -> str:
    """What somebody else said, short and on one line."""
    return " ".join(str(said).split())[:100]
