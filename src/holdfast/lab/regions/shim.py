"""A wall clock that the lab can set, for programs of any kind: PostgreSQL as well as Python.

A few lines of C stand before the system's own (ld.so(8), LD_PRELOAD), and add to the wall clock what a file
says, at any moment. The monotonic clock is right, as it is where a real clock is set. They are compiled when
a lab is started; without a compiler the voters' clock alone can be set (clocked.py).
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

FILE_VARIABLE = "HOLDFAST_LAB_CLOCK"
"""Names the file, for the library."""
COMPILED_WITHIN_S = 60
COMPILERS = ("cc", "gcc", "clang")

SOURCE = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static _Atomic long looked = -1000000, wrong;

/* Only what a signal handler may call: PostgreSQL asks for the time in its own. */
static long wrong_by(void) {
    struct timespec now;
    if (syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now)) return 0;
    long at = now.tv_sec * 1000 + now.tv_nsec / 1000000;
    if (at - looked >= 200) {
        int kept = errno;
        char text[32];
        long found = 0;
        const char *file = getenv("HOLDFAST_LAB_CLOCK");
        int opened = file ? open(file, O_RDONLY | O_CLOEXEC) : -1;
        looked = at;
        if (opened >= 0) {
            ssize_t length = read(opened, text, sizeof text - 1);
            if (length > 0) { text[length] = 0; found = strtol(text, NULL, 10); }
            close(opened);
        }
        wrong = found;
        errno = kept;
    }
    return wrong;
}

int clock_gettime(clockid_t which, struct timespec *told) {
    int result = (int)syscall(SYS_clock_gettime, which, told);
    int wall = which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE;
    if (result == 0 && wall) told->tv_sec += wrong_by();
    return result;
}

int gettimeofday(struct timeval *restrict told, void *restrict zone) {
    struct timespec now;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &now)) return -1;
    if (told) { told->tv_sec = now.tv_sec; told->tv_usec = now.tv_nsec / 1000; }
    return 0;
}

time_t time(time_t *told) {
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now)) return (time_t)-1;
    if (told) *told = now.tv_sec;
    return now.tv_sec;
}
"""


def built(folder: Path) -> Path | None:
    """The library in `folder`, compiled when it is not there yet; None where that cannot be done."""
    library = folder.absolute() / f"clock-{hashlib.sha256(SOURCE.encode()).hexdigest()[:12]}.so"
    if any(each in str(library) for each in " :"):  # they part the entries of LD_PRELOAD
        return None
    if library.exists():
        return library
    compiler = next((found for each in COMPILERS if (found := shutil.which(each))), None)
    if compiler is None:
        return None
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        made = Path(scratch) / "clock.so"
        command = [compiler, "-shared", "-fPIC", "-O2", "-o", str(made), "-x", "c", "-"]
        try:
            subprocess.run(
                command, input=SOURCE.encode(), capture_output=True, timeout=COMPILED_WITHIN_S, check=True
            )
        except (OSError, subprocess.SubprocessError):  # without the headers, for one
            return None
        made.replace(library)
    return library


def environment(folder: Path, file: Path) -> Mapping[str, str]:
    """What a program is started with whose clock `file` sets; nothing where no library can be built."""
    library = built(folder)
    return {} if library is None else {"LD_PRELOAD": str(library), FILE_VARIABLE: str(file.absolute())}


def is_there() -> bool:
    """Whether this process has it."""
    return FILE_VARIABLE in os.environ
