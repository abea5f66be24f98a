"""The manifest's JSON Schema, generated from the dataclasses of its parser."""

from __future__ import annotations

import dataclasses
from typing import Any, get_args, get_origin, get_type_hints

from iscc_lidar.data_schemas.document import SHA256
from iscc_lidar.data_schemas.manifest import FORMAT_MAJOR, FORMAT_NAME, Manifest


def manifest_schema() -> dict[str, Any]:
    """Generate the JSON Schema, draft 2020-12. A reader refuses what it refuses, and also checks digests and blocks."""
    header = {
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
        "properties": header | body["properties"],
        "required": [*header, *body["required"]],
    }


def _schema(cls: Any) -> dict[str, Any]:
    if get_origin(cls) is tuple:
        return {"type": "array", "items": _schema(get_args(cls)[0])}
    if dataclasses.is_dataclass(cls):
        hints = get_type_hints(cls)
        properties = {}
        required = [item.name for item in dataclasses.fields(cls) if item.default is dataclasses.MISSING]
        for item in dataclasses.fields(cls):
            pattern = item.metadata.get("pattern")
            properties[item.name] = {
                **_schema(hints[item.name]),
                **({"pattern": f"^{pattern}$"} if pattern else {}),
                "description": item.metadata["meaning"],
            }
        return {"type": "object", "properties": properties, "required": required}
    plain: dict[Any, dict[str, Any]] = {str: {"type": "string"}, int: {"type": "integer", "minimum": 0}}
    return plain.get(cls, {"type": "object"})
