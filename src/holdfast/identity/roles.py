"""Which roles somebody holds, by what they may. Pure."""

from collections.abc import Mapping

from holdfast.identity.model import Actor, Right, Role

_MARKS: Mapping[Role, Right] = {
    Role.VIEWER: Right.READ,
    Role.COMMUNICATOR: Right.INCIDENTS,
    Role.OPERATOR: Right.OPERATE,
    Role.COMMANDER: Right.COMMAND,
    Role.ADMIN: Right.ADMINISTER,
}
"""What is new with each role, and makes one who may it hold that role."""


def roles_of(actor: Actor) -> frozenset[str]:
    """The labels of the roles that an actor holds: their own, and those below it; a token's by its scopes."""
    return frozenset(role.label for role, right in _MARKS.items() if actor.may(right))


def labels() -> frozenset[str]:
    """Of all roles."""
    return frozenset(role.label for role in Role)
