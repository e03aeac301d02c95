"""The JSON Schema of `holdfast.yaml`, for editors: completion, descriptions, and red lines while typing."""

from datetime import timedelta
from typing import Any

from pydantic import TypeAdapter

from holdfast.estate.model import Estate
from holdfast.kernel.durations import format_duration

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_HEADER_NAMES = "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"


def estate_schema() -> dict[str, Any]:
    """The schema (JSON Schema, draft 2020-12). It knows the shape; `holdfast check` knows the rest."""
    schema = Estate.model_json_schema()
    definitions = schema["$defs"]
    for name, definition in definitions.items():
        definition["properties"] = {
            key: _property(key, value) for key, value in definition.get("properties", {}).items()
        }
        if name.endswith("Check"):
            _accept_short_conditions(definition)
    schema["properties"] = {key: _property(key, value) for key, value in schema["properties"].items()}
    schema.pop("title")
    schema.pop("description")
    return {
        "$schema": DIALECT,
        "title": "Holdfast estate",
        "description": "All that an operator declares: regions, clusters, components, agreements, the site.",
        **schema,
    }


def _property(key: str, schema: dict[str, Any]) -> dict[str, Any]:
    """One property, with nothing allowed that the loader would refuse."""
    # Made from a name, a title only repeats the key.
    closed = {name: value for name, value in schema.items() if name not in ("title", "propertyNames")}
    if "pattern" in closed and str(closed.get("default", "")).startswith("P"):
        # pydantic writes a length of time as P3D (ISO 8601), an operator as 3d.
        closed["default"] = format_duration(TypeAdapter(timedelta).validate_python(closed["default"]))
    if "patternProperties" in closed:
        closed["additionalProperties"] = False
    elif key in ("headers", "metadata", "options"):
        closed["patternProperties"] = {_HEADER_NAMES: closed["additionalProperties"]}
        closed["additionalProperties"] = False
    return closed


def _accept_short_conditions(check: dict[str, Any]) -> None:
    conditions = check["properties"]["conditions"]
    text = {"type": "string", "minLength": 1, "maxLength": 1000, "description": "a condition"}
    conditions["items"] = {"anyOf": [text, conditions["items"]]}
