"""The actions that playbooks can name, without anything that they would work on."""

from collections.abc import Mapping
from typing import Any, NoReturn, cast

from holdfast.adapters.postgres.conninfo import Conninfo, Role
from holdfast.bootstrap.recovery.actions import actions_for
from holdfast.bootstrap.recovery.surroundings import Surroundings
from holdfast.estate.model import Estate
from holdfast.interfaces.cli.ports import Place
from holdfast.kernel.clock import SystemClock
from holdfast.recovery.checking import Signature, signature_of


class _Nothing:
    """Stands where a connection would. Making an action connects to nothing."""

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"there is no connection to ask for {name!r}")


def known_actions(estate: Estate, place: Place) -> Mapping[str, Signature]:
    """By name, with what each wants and finds where it tells."""
    nothing = cast("Any", _Nothing())
    around = Surroundings(
        estate=estate,
        place=Place(place.config.absolute(), place.data_dir.absolute()),
        conninfo=Conninfo(Role.RECOVERY, {}),
        pool=nothing,
        runs=nothing,
        clock=SystemClock(),
    )
    return {name: signature_of(action) for name, action in actions_for(around).items()}
