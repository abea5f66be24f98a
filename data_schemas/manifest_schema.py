"""The manifest's JSON Schema, from the dataclasses that it is read into."""

from __future__ import annotations

import dataclasses
from typing import Any, get_args, get_origin, get_type_hints

from iscc_lidar.data_schemas.manifest import FORMAT_MAJOR, FORMAT_NAME, SHA256, Manifest


def manifest_schema() -> dict[str, Any]:
    """JSON Schema, draft 2020-12. What it refuses, a reader refuses; digests and the order of blocks are beyond it."""
    head = {
        "format": {"const": FORMAT_NAME},
        "version": {"type": "string", "pattern": rf"^{FORMAT_MAJOR}\.[0-9]{{1,9}}$"},
        "digest": {
            "type": "string",
            "pattern": f"^{SHA256}$",
            "description": "SHA-256 of the file's bytes before the comma, line feed and space that precede this key",
        },
    }
    body = _schema(Manifest)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"manifest of an {FORMAT_NAME}",
        **body,
        "properties": head | body["properties"],
        "required": [*head, *body["required"]],
    }


def _schema(kind: Any) -> dict[str, Any]:
    if get_origin(kind) is tuple:
        return {"type": "array", "items": _schema(get_args(kind)[0])}
    if dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind)
        properties = {}
        for item in dataclasses.fields(kind):
            pattern = item.metadata.get("pattern")
            properties[item.name] = {
                **_schema(hints[item.name]),
                **({"pattern": f"^{pattern}$"} if pattern else {}),
                "description": item.metadata["meaning"],
            }
        return {"type": "object", "properties": properties, "required": list(properties)}
    plain: dict[Any, dict[str, Any]] = {str: {"type": "string"}, int: {"type": "integer", "minimum": 0}}
    return plain.get(kind, {"type": "object"})
