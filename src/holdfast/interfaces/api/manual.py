"""The API's own page for people, made of its OpenAPI document: static, and without a script."""

import base64
import hashlib
from collections.abc import Iterator
from html import escape
from typing import Any

from starlette.responses import HTMLResponse

from holdfast.interfaces.api.problems import KINDS, ROOT

_STYLE = """
:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}
body{max-width:60rem;margin:2rem auto;padding:0 1rem}
code,.m{font-family:ui-monospace,monospace}
.m{display:inline-block;min-width:4.5rem;font-weight:700}
dt{margin-top:1rem}dd{margin:.2rem 0 0 4.5rem}
table{border-collapse:collapse}td,th{text-align:left;padding:.2rem 1rem .2rem 0;vertical-align:top}
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; frame-ancestors 'none'"


def manual(document: dict[str, Any]) -> HTMLResponse:
    """Every operation with what it does and which scope it needs, and every kind of problem."""
    info = document["info"]
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        '<meta name=viewport content="width=device-width">',
        f"<title>{escape(info['title'])}</title><style>{_STYLE}</style>",
        f"<h1>{escape(info['title'])}</h1>",
        *(f"<p>{escape(part)}</p>" for part in info["description"].split("\n\n")),
        f'<p><a href="{ROOT}/openapi.json">OpenAPI document</a></p>',
        *_operations(document),
        "<h2 id=problems>Problems</h2><table><tr><th>status<th>type<th>meaning",
        *(
            f"<tr id={each.name}><td>{each.status.value}<td><code>{escape(each.type)}</code>"
            f"<td>{escape(each.title)}{'. ' + escape(each.hint) if each.hint else ''}"
            for each in KINDS
        ),
        "</table>",
    ]
    headers = {"content-security-policy": _POLICY, "cache-control": "no-cache"}
    return HTMLResponse("\n".join(parts), headers=headers)


def _operations(document: dict[str, Any]) -> Iterator[str]:
    by_tag: dict[str, list[str]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            text = (
                f"<dt id={escape(operation['operationId'])}><span class=m>{method.upper()}</span>"
                f"<code>{escape(ROOT + path)}</code> <small>{escape(_scopes(operation))}</small>"
                f"<dd>{escape(operation['description'])}"
            )
            by_tag.setdefault(operation["tags"][0], []).append(text)
    for tag, texts in by_tag.items():
        yield f"<h2>{escape(tag.capitalize())}</h2><dl>"
        yield from texts
        yield "</dl>"


def _scopes(operation: dict[str, Any]) -> str:
    return ", ".join(scope for each in operation.get("security", ()) for scope in each.get("token", ()))
