"""Setting up a second factor, and proving to have it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from holdfast.identity import factors
from holdfast.identity.errors import Refused, Unsuitable
from holdfast.identity.model import Account, SessionView, Stage
from holdfast.identity.ports import Factor, IdentityStore
from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import HoldfastError
from holdfast.kernel.journal import JournalEntry
from holdfast.kernel.vault import Vault


@dataclass(frozen=True, slots=True)
class Offer:
    """A second factor to be put into a phone. `sealed` brings it back, in this session only."""

    secret: str = field(repr=False)
    uri: str = field(repr=False)
    sealed: str = field(repr=False)


class SecondFactors:
    """Codes by the time, and recovery codes, of one account each."""

    def __init__(self, store: IdentityStore, vault: Vault, clock: Clock) -> None:
        self._store = store
        self._vault = vault
        self._clock = clock

    def begin(self, view: SessionView, issuer: str) -> Offer:
        """A fresh second factor. Nothing is stored before somebody shows a code of it."""
        if view.account.is_vouched_for:
            raise Unsuitable("the second factor of this account is its provider's business")
        secret = factors.fresh_factor()
        return self._offered(view, secret, issuer)

    def again(self, view: SessionView, sealed: str, issuer: str) -> Offer:
        """The same offer once more, after a code that was mistyped; raises Refused for another's."""
        return self._offered(view, self._unsealed(view, sealed), issuer)

    async def put_in_force(self, view: SessionView, sealed: str, code: str) -> Sequence[str]:
        """Keep the offered factor, in place of any before, once `code` shows that the phone has it.

        Returns the recovery codes, which are shown this once. Raises Refused.
        """
        account = view.account
        secret = self._unsealed(view, sealed)
        step = factors.step_of(secret, code, self._clock.now())
        if step is None:
            raise Refused("the code does not fit", hint="is the phone's clock right?")
        codes = factors.fresh_codes()
        factor = Factor(
            self._vault.seal(secret, _purpose(account)),
            step,
            [factors.code_sha256(account.id, each) for each in codes],
            keep=view.session.sha256,
            # Who has only the password so far must not replace what its owner has set up meanwhile.
            first=view.stage is Stage.ENROL,
        )
        if not await self._store.set_factor(account.id, factor, self._entry(account, "account.factor_set")):
            raise Refused("this account has a second factor by now", hint="log in again")
        return codes

    async def proves(self, account: Account, code: str) -> bool:
        """Whether that is a code of now that was not used before, or an unused recovery code; uses it."""
        if factors.looks_like_recovery(code):
            entry = self._entry(account, "account.recovery_code_used")
            sha256 = factors.code_sha256(account.id, code)
            return await self._store.use_code(account.id, sha256, self._clock.now(), entry)
        kept = await self._store.kept_by_id(account.id)
        if kept is None or kept.factor_sealed is None:
            return False
        secret = self._vault.open(kept.factor_sealed, _purpose(account))
        step = factors.step_of(secret, code, self._clock.now())
        return step is not None and await self._store.use_step(account.id, step)

    async def fresh_codes(self, account: Account) -> Sequence[str]:
        """Replace the recovery codes; raises Unsuitable without a second factor."""
        if not account.has_second_factor:
            raise Unsuitable("there is no second factor to recover")
        codes = factors.fresh_codes()
        hashed = [factors.code_sha256(account.id, each) for each in codes]
        await self._store.set_codes(account.id, hashed, self._entry(account, "account.recovery_codes_set"))
        return codes

    async def codes_left(self, account: Account) -> int:
        return await self._store.codes_left(account.id)

    def _offered(self, view: SessionView, secret: str, issuer: str) -> Offer:
        sealed = self._vault.seal(secret, _offer_purpose(view)).hex()
        return Offer(secret, factors.uri_of(secret, view.account.name, issuer), sealed)

    def _unsealed(self, view: SessionView, sealed: str) -> str:
        try:
            return self._vault.open(bytes.fromhex(sealed), _offer_purpose(view))
        except (HoldfastError, ValueError) as error:
            raise Refused("this form is out of date", hint="begin again") from error

    def _entry(self, account: Account, event: str) -> JournalEntry:
        return JournalEntry(self._clock.now(), account.name, event, {"account": account.name})


def _purpose(account: Account) -> str:
    """It opens for its own account only, wherever in the database it is put."""
    return f"second factor of {account.id}"


def _offer_purpose(view: SessionView) -> str:
    return f"offer to {view.session.sha256.hex()}"
