"""Requests made from the API's own description, fitting and not, and what each answer is held to."""

from collections.abc import Mapping, Sequence
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

ALWAYS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)


def fuzz(
    schema: Any,
    mode: GenerationMode,
    headers: Mapping[str, str],
    known: Mapping[str, Sequence[str]],
    *,
    examples: int,
) -> list[str]:
    """Call every operation that often; returns which were called. Raises what an answer does not hold to.

    `known` is what there is, by path parameter: half of the calls that fit are about something that exists.
    """
    called = []
    for found in schema.get_all_operations():
        operation = found.ok()
        try:
            _fuzz(operation, mode, headers, known, examples)
        except Unsatisfiable:
            continue  # without parameters there is nothing to get wrong
        called.append(operation.label)
    return called


def _fuzz(
    operation: Any,
    mode: GenerationMode,
    headers: Mapping[str, str],
    known: Mapping[str, Sequence[str]],
    examples: int,
) -> None:
    @given(operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def call(case: schemathesis.Case) -> None:
        checks = [*ALWAYS]
        if mode is GenerationMode.POSITIVE:
            checks.append(ignored_auth)
            _about_what_exists(case, known)
        answer = case.call(headers=dict(headers))
        if answer.status_code in {413, 414}:
            assert answer.headers["content-type"] == ["application/problem+json"]
        elif mode is GenerationMode.NEGATIVE and _is_wrong_beside_the_token(case):
            checks.append(negative_data_rejection)
        case.validate_response(answer, checks=checks, headers=dict(headers))

    call()


def _is_wrong_beside_the_token(case: schemathesis.Case) -> bool:
    """The token is always sent: a request that lacked only that is right again."""
    assert case.meta is not None
    parts = case.meta.components.items()
    return any(
        each.mode is GenerationMode.NEGATIVE and where is not ParameterLocation.HEADER
        for where, each in parts
    )


def _about_what_exists(case: schemathesis.Case, known: Mapping[str, Sequence[str]]) -> None:
    parameters = case.path_parameters or {}
    for name, value in list(parameters.items()):
        choices = known.get(name, ())
        # Decided by what was generated, so that the same case is the same request again.
        mark = sum(str(value).encode(errors="replace"))
        if choices and mark % 2:
            parameters[name] = choices[mark // 2 % len(choices)]
