"""The options that most commands share."""

from pathlib import Path
from typing import Annotated

import typer

from holdfast.interfaces.cli.ports import Place

Config = Annotated[
    Path,
    typer.Option(
        "--config",
        "-c",
        envvar="HOLDFAST_CONFIG",
        help="The estate file.",
        default_factory=lambda: Path("holdfast.yaml"),
        show_default="holdfast.yaml",
    ),
]
DataDir = Annotated[
    Path,
    typer.Option(
        "--data-dir",
        envvar="HOLDFAST_DATA_DIR",
        help="Where Holdfast keeps what is its own.",
        default_factory=lambda: Path(".holdfast"),
        show_default=".holdfast",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]


def place(config: Path, data_dir: Path) -> Place:
    return Place(config, data_dir)
