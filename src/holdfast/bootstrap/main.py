"""The program's entry. Nothing heavy is imported before a command runs, so that `--help` is quick."""

from typing import TYPE_CHECKING

from holdfast.interfaces.cli.app import build

if TYPE_CHECKING:
    from holdfast.interfaces.cli.ports import Commands


def _commands() -> "Commands":
    from holdfast.bootstrap.commands import LocalCommands  # noqa: PLC0415  loads every room

    return LocalCommands()


def main() -> None:
    """Run the command line."""
    build(_commands)()


if __name__ == "__main__":
    main()
