"""What the ledger's process does beside taking records in: a line for each duty, named for the log."""

from collections.abc import Mapping

from holdfast.bootstrap.ledger import completeness, following, publishing, regions, upkeep
from holdfast.bootstrap.ledger.working import Duty

DUTIES: Mapping[str, Duty] = {
    "regions": regions.mark_what_arrived,
    "completeness": completeness.watch,
    "following": following.follow,
    "publishing": publishing.publish,
    "upkeep": upkeep.keep_up,
}
