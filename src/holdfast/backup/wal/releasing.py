"""What the spool lets go of: segments that the regions have."""

from collections.abc import Sequence

from holdfast.backup.wal.spool import Spool
from holdfast.backup.wal.uploading import RegionUpload


def release(spool: Spool, uploads: Sequence[RegionUpload]) -> None:
    """Let go of what all regions have."""
    for spooled in spool.segments()[:-1]:
        if all(upload.has_all_of(spooled) for upload in uploads):
            spool.release(spooled)


def make_room(spool: Spool, uploads: Sequence[RegionUpload]) -> bool:
    """Let go of the oldest segment that some region has, and tell those that have it not."""
    for spooled in spool.segments()[:-1]:
        behind = [upload for upload in uploads if not upload.has_all_of(spooled)]
        if len(behind) < len(uploads) and spool.release(spooled):
            for upload in behind:
                upload.leave_behind(spooled.segment)
            return True
    return False
