"""What recovery's process does beside working on runs: a line for each duty, named for the log."""

from collections.abc import Mapping

from holdfast.bootstrap.recovery.calling import keep_calling
from holdfast.bootstrap.recovery.cosigning import keep_cosigning
from holdfast.bootstrap.recovery.pruning import keep_pruning
from holdfast.bootstrap.recovery.recording import keep_recording
from holdfast.bootstrap.recovery.region_watch import keep_watching
from holdfast.bootstrap.recovery.scheduling import keep_drilling
from holdfast.bootstrap.recovery.warning import keep_warning
from holdfast.bootstrap.recovery.working import Duty

DUTIES: Mapping[str, Duty] = {
    "calls": keep_calling,
    "regions": keep_watching,
    "evidence": keep_recording,
    "pruning": keep_pruning,
    "witness": keep_cosigning,
    "drills": keep_drilling,
    "drill warnings": keep_warning,
}
"""Each begins anew when the estate in force has another recovery."""
