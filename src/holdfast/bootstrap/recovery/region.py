"""The actions that move a cluster to its other region: region.*."""

from collections.abc import Mapping

from holdfast.bootstrap.recovery.region_parts import parts_in
from holdfast.bootstrap.recovery.surroundings import Surroundings
from holdfast.recovery import region_actions as forward
from holdfast.recovery import region_closing as closing
from holdfast.recovery import region_return as back
from holdfast.recovery.moving import PartsOf
from holdfast.recovery.ports import Action


def region_actions(around: Surroundings) -> Mapping[str, Action]:
    """By name, on the clusters of the estate in force."""
    return actions_on(parts_in(around))


def actions_on(parts: PartsOf) -> Mapping[str, Action]:
    """By name, on what moves a cluster."""
    return {
        "region.confirm": forward.Confirming(parts),
        "region.fence": forward.Fencing(parts),
        "region.promote": forward.Promoting(parts),
        "region.route": forward.Routing(parts),
        "region.name": forward.Naming(parts),
        "region.scale": forward.Scaling(parts),
        "region.verify": forward.Verifying(parts),
        "region.tell": closing.Telling(parts),
        "region.reconcile": closing.Reconciling(parts),
        "region.measure": closing.Measuring(parts),
        "region.ready": back.Readying(parts),
        "region.switch": back.Switching(parts),
        "region.archive": back.Archiving(parts),
        "region.rebuild": back.Rebuilding(parts),
        "region.in-step": back.InStep(parts),
    }
