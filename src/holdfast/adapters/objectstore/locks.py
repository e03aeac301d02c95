"""S3 Object Lock: until a date nobody deletes an object's version, in compliance mode not even the account's root.

obstore knows nothing of it, so this speaks through boto3, which is loaded when it is first needed: it takes
half a second. A bucket with Object Lock keeps versions, and a plain delete only hides an object there. So here
an object is deleted by its versions, or the bucket would never get smaller.
"""

import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from itertools import batched
from typing import Any, Literal
from urllib.parse import urlsplit

from holdfast.adapters.objectstore.bucket import in_a_line
from holdfast.backup.errors import RegionAway, RegionRefused

Mode = Literal["governance", "compliance"]
