"""`holdfast api`: what the REST API says of itself."""

from typing import Annotated

import typer


def build() -> typer.Typer:
    """The commands about the API. They need neither an estate nor a database."""
    api = typer.Typer(help="The REST API.", no_args_is_help=True)

    @api.callback()
    def group() -> None:
        """Keep it a group while it has one command."""

    @api.command()
    def schema(
        out: Annotated[
            typer.FileTextWrite | None, typer.Option("--out", help="Write it there, and not to the screen.")
        ] = None,
    ) -> None:
        """Print the API's OpenAPI document: for generators of clients, and to see what changed."""
        # The web framework takes longer to import than most commands to run.
        from holdfast.interfaces.api.app import openapi_text  # noqa: PLC0415

        typer.echo(openapi_text(), file=out, nl=False)

    return api
