"""A command loads what it needs, and not what others need: each process of Holdfast begins as a command."""

import subprocess
import sys

HEAVY = {
    "aiohttp",
    "apprise",
    "boto3",
    "fastapi",
    "jinja2",
    "obstore",
    "typst",
    "holdfast.bootstrap.interchange",
    "holdfast.bootstrap.lab",
    "holdfast.interfaces.messages.mails",
}


def test_commands_are_there_before_what_only_some_of_them_need() -> None:
    told = "import sys; import holdfast.bootstrap.commands; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert HEAVY & set(loaded.stdout.split()) == set()
