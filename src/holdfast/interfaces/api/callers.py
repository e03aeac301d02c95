"""Who calls, and what they may: by a bearer token in each call, and by nothing else. Cookies are not read."""

import hashlib
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes

from holdfast.identity.errors import Refused
from holdfast.identity.model import Actor, Right
from holdfast.interfaces.agents.limits import RateLimit
from holdfast.interfaces.api.problems import (
    INVALID,
    MOST_FAULTS,
    NOT_ALLOWED,
    Fault,
    Problem,
    too_often,
    unauthorised,
)
from holdfast.interfaces.api.services import Services, services_of
from holdfast.kernel.clock import Clock

LONGEST_TOKEN = 256
_BEARER = HTTPBearer(
    scheme_name="token",
    description="An API token: `holdfast token create NAME --scope ...`",
    auto_error=False,
)


class Gate:
    """How often each token may call, and each address guess."""

    def __init__(self, clock: Clock, *, per_second: float = 10, burst: int = 120, guesses: int = 20) -> None:
        self._clock = clock
        self._calls = RateLimit(per_second=per_second, burst=burst)
        self._misses = RateLimit(per_second=0.2, burst=guesses)

    async def admit(self, services: Services, token: str, address: str) -> Actor:
        """The holder of the token. Raises Problem: 401 for one that is worth nothing, 429 for too often."""
        if not 0 < len(token) <= LONGEST_TOKEN or not token.isascii():
            raise unauthorised()
        now = self._clock.monotonic()
        digest = hashlib.sha256(token.encode()).digest()
        # Each guess costs a look into the database. Whoever guesses fills a few of an address's buckets, and
        # hardly ever the one of an honest program behind the same proxy.
        guesser = (address, digest[:1])
        if not self._misses.allows(guesser, now) or not self._calls.take(digest, now):
            raise too_often()
        try:
            return await services.bearers.actor_of_token(token)
        except Refused as error:
            self._misses.take(guesser, now)
            raise unauthorised() from error


async def caller(
    request: Request,
    scopes: SecurityScopes,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)],
) -> Actor:
    """The holder of the call's token, who has every scope that the operation names. Raises Problem."""
    if credentials is None:
        raise unauthorised()
    gate: Gate = request.app.state.gate
    address = request.client.host if request.client else ""
    actor = await gate.admit(services_of(request), credentials.credentials, address)
    missing = [each for each in scopes.scopes if not actor.may(Right(each))]
    if missing:
        detail = f"this token lacks the scope {', '.join(missing)}"
        raise Problem(NOT_ALLOWED, detail, hint="ask an administrator for one that has it")
    _only_known_parameters(request)
    return actor


def _only_known_parameters(request: Request) -> None:
    """A parameter that is misspelt must not be taken for one that was left out. Raises Problem."""
    known = {each.alias for each in request.scope["route"].dependant.query_params}
    faults = [
        Fault(where=f"query/{each[:40]}", detail="there is no such parameter here")
        for each in dict.fromkeys(request.query_params)
        if each not in known
    ]
    if faults:
        hint = f"there are: {', '.join(sorted(known))}" if known else "there are none"
        detail = f"{faults[0].where}: {faults[0].detail}"
        raise Problem(INVALID, detail, hint=hint, errors=faults[:MOST_FAULTS])


Reader = Annotated[Actor, Security(caller, scopes=[Right.READ.value])]
Announcer = Annotated[Actor, Security(caller, scopes=[Right.INCIDENTS.value])]
Planner = Annotated[Actor, Security(caller, scopes=[Right.MAINTENANCE.value])]
SubscriberReader = Annotated[Actor, Security(caller, scopes=[Right.SUBSCRIBERS.value])]
LedgerReader = Annotated[Actor, Security(caller, scopes=[Right.LEDGER.value])]
Operator = Annotated[Actor, Security(caller, scopes=[Right.OPERATE.value])]
SubscriberRemover = Annotated[Actor, Security(caller, scopes=[Right.OPERATE.value])]
Auditor = Annotated[Actor, Security(caller, scopes=[Right.AUDIT.value])]
Served = Annotated[Services, Depends(services_of)]
