"""A program that ends when whoever started it ends, also by a SIGKILL: the kernel sends it a signal then.

Linux tells when the *thread* that started a program has ended (prctl(2), PR_SET_PDEATHSIG): who starts a
server that ends with it must be the one who stops it.
"""

import os
import shutil
import subprocess
from functools import cache

_PROBE_TIMEOUT_S = 30
# Who ended before the kernel was told is noticed by somebody else being the parent now.
_ONLY_BELOW = 'test "$PPID" = "$1" && shift && exec "$@"'


def ends_with_us() -> tuple[str, ...]:
    """What goes before a command, behind all that changes its identity: those who change it are not told.

    The signal is SIGINT, PostgreSQL's fast shutdown. Empty where `setpriv` (util-linux 2.33) is not there;
    what is started then outlives a SIGKILL of ours, until somebody works on its folder again.
    """
    setpriv = _setpriv()
    if setpriv is None:
        return ()
    return (setpriv, "--pdeathsig", "INT", "--", "/bin/sh", "-c", _ONLY_BELOW, "sh", str(os.getpid()))


@cache
def _setpriv() -> str | None:
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        return None
    probe = [setpriv, "--pdeathsig", "INT", "--", "/bin/sh", "-c", ":"]
    try:
        ended = subprocess.run(probe, capture_output=True, timeout=_PROBE_TIMEOUT_S, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    return setpriv if ended.returncode == 0 else None
