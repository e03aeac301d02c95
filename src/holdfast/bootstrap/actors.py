"""Who takes a step on this machine, as the journal names them."""

import os
import pwd


def command_line() -> str:
    """`command line (ada)`: the account that runs it as the system knows it, by no variable it could set."""
    try:
        return f"command line ({pwd.getpwuid(os.getuid()).pw_name})"
    except KeyError:
        return f"command line ({os.getuid()})"
