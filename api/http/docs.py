"""The reference at /docs, drawn from the OpenAPI document: one page, no script, nothing fetched from anywhere."""

import json
from collections.abc import Mapping
from html import escape
from typing import Any

_STYLE = """
:root{color-scheme:light dark;--line:#8884;--soft:#8882;--accent:light-dark(#0a7a55,#4cc79a)}
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{margin-bottom:0}h2{margin-top:2.5rem;border-bottom:1px solid var(--line)}
details{border:1px solid var(--line);border-radius:.5rem;margin:.6rem 0;padding:.5rem .8rem}
summary{cursor:pointer;overflow-wrap:anywhere}summary code{font-weight:600}
.method{display:inline-block;min-width:3.2rem;font-weight:700;color:var(--accent)}
table{border-collapse:collapse;width:100%;margin:.4rem 0}
td,th{text-align:left;vertical-align:top;border-top:1px solid var(--line);padding:.25rem .5rem}
td{overflow-wrap:anywhere}td:first-child{white-space:nowrap;overflow-wrap:normal;width:1%}
.say{opacity:.7;margin-left:.6rem}
pre{background:var(--soft);padding:.6rem;border-radius:.4rem;overflow:auto}code{font-size:.92em}
nav{display:flex;flex-wrap:wrap;gap:.25rem 1rem}
"""
PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"


def page(document: Mapping[str, Any]) -> str:
    """The whole reference as HTML."""
    about = document["info"]
    tags = [tag["name"] for tag in document["tags"]]
    sections = "".join(_section(document, tag) for tag in document["tags"])
    links = "".join(f'<a href="#{escape(name)}">{escape(name)}</a>' for name in tags)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(about['title'])} API</title><style>{_STYLE}</style></head><body>"
        f"<h1>{escape(about['title'])} API</h1><p>{escape(about['summary'])}, version {escape(about['version'])}. "
        '<a href="/openapi.json">OpenAPI 3.1 document</a></p>'
        f"{_prose(about['description'])}<nav>{links}<a href='#shapes'>shapes</a></nav>"
        f"<main>{sections}{_shapes(document)}</main></body></html>"
    )


def _prose(text: str) -> str:
    """Paragraphs and bullet points; **bold** and `code` marks are dropped or kept as code."""
    flat = text.replace("\n  ", " ")
    lines = [line for line in flat.splitlines() if line.strip()]
    bullets = "".join(f"<li>{_marks(line[2:])}</li>" for line in lines if line.startswith("* "))
    plain = "".join(f"<p>{_marks(line)}</p>" for line in lines if not line.startswith("* "))
    return f"{plain}<ul>{bullets}</ul>"


def _marks(text: str) -> str:
    parts = escape(text).replace("**", "").split("`")
    return "".join(f"<code>{part}</code>" if at % 2 else part for at, part in enumerate(parts))


def _section(document: Mapping[str, Any], tag: Mapping[str, str]) -> str:
    drawn = "".join(
        _operation(document, path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if tag["name"] in operation.get("tags", ())
    )
    return f'<h2 id="{escape(tag["name"])}">{escape(tag["name"])}</h2><p>{escape(tag["description"])}</p>{drawn}'


def _operation(document: Mapping[str, Any], path: str, method: str, operation: Mapping[str, Any]) -> str:
    parameters = "".join(
        f"<tr><td><code>{escape(p['name'])}</code></td><td>{escape(p['in'])}{', required' if p.get('required') else ''}"
        f"</td><td>{_marks(p.get('description', ''))}</td></tr>"
        for p in operation.get("parameters", ())
    )
    responses = "".join(
        f"<tr><td><code>{escape(status)}</code></td><td>{_marks(row['description'])}{_link(row)}</td></tr>"
        for status, row in operation["responses"].items()
    )
    permission = operation.get("x-permission")
    needs = f"<p>Needs <code>{escape(permission)}</code>.</p>" if permission else "<p>Open to all.</p>"
    return (
        f'<details id="{escape(operation["operationId"])}"><summary>'
        f'<span class="method">{escape(method.upper())}</span> '
        f'<code>{escape(path)}</code><span class="say">{escape(operation["summary"])}</span></summary>'
        f"<p>{_marks(operation.get('description', ''))}</p>{needs}"
        + (f"<table>{parameters}</table>" if parameters else "")
        + _body(document, operation)
        + f"<table>{responses}</table></details>"
    )


def _body(document: Mapping[str, Any], operation: Mapping[str, Any]) -> str:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    name = _name_of(content["schema"]) if content else None
    if name is None:
        return ""
    example = _example(document["components"]["schemas"][name])
    return f'<p>Body: <a href="#{name}">{name}</a></p><pre>{escape(json.dumps(example, indent=2))}</pre>'


def _name_of(schema: Mapping[str, Any]) -> str | None:
    for one in (schema, *schema.get("anyOf", ())):
        if "$ref" in one:
            return str(one["$ref"]).rsplit("/", 1)[-1]
    return None


def _link(row: Mapping[str, Any]) -> str:
    for content in row.get("content", {}).values():
        if name := _name_of(content.get("schema", {})):
            return f' <a href="#{name}">{name}</a>'
    return ""


def _example(schema: Mapping[str, Any]) -> dict[str, Any]:
    required = schema.get("required", ())
    return {
        name: (field.get("examples") or ["..."])[0]
        for name, field in schema.get("properties", {}).items()
        if name in required
    }


def _shapes(document: Mapping[str, Any]) -> str:
    drawn = "".join(_shape(name, schema) for name, schema in sorted(document["components"]["schemas"].items()))
    return f'<h2 id="shapes">shapes</h2>{drawn}'


def _shape(name: str, schema: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(field)}</code></td><td>{_kind(row)}</td>"
        f"<td>{_marks(row.get('description', ''))}</td></tr>"
        for field, row in schema.get("properties", {}).items()
    )
    values = ", ".join(f"<code>{escape(str(value))}</code>" for value in schema.get("enum", ()))
    about = f"<p>{_marks(schema.get('description', ''))}</p>{values}<table>{rows}</table>"
    return f'<details id="{escape(name)}"><summary><code>{escape(name)}</code></summary>{about}</details>'


def _kind(row: Mapping[str, Any]) -> str:
    if name := _name_of(row):
        return f'<a href="#{name}">{name}</a>'
    kinds = [row, *row.get("anyOf", ())]
    said = " or ".join(str(one.get("format") or one["type"]) for one in kinds if "type" in one)
    items = _name_of(row.get("items", {}))
    return escape(said) + (f' of <a href="#{items}">{items}</a>' if items else "")
