"""The estate file that `holdfast init` writes: commented, complete, and valid as it stands."""

from importlib.resources import files


def render_template() -> str:
    """The text of a first `holdfast.yaml`."""
    return files(__package__).joinpath("template.yaml").read_text(encoding="utf-8")
