"""What the MCP registry and .mcpb bundles ask of their files, as far as ours use them.

Written from their documentation: the registry's server.json of 2025-12-11, and manifest 0.4.
"""

from __future__ import annotations

from typing import Any

_TEXT = {"type": "string", "minLength": 1}
_VERSION = {"type": "string", "pattern": r"^\d+\.\d+\.\d+([-+][0-9A-Za-z.-]+)?$"}

SERVER: dict[str, Any] = {
    "type": "object",
    "required": ["$schema", "name", "description", "version", "packages"],
    "additionalProperties": False,
    "properties": {
        "$schema": {
            "const": "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"
        },
        "name": {
            "type": "string",
            "minLength": 3,
            "maxLength": 200,
            "pattern": r"^[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+$",
        },
        "title": {"type": "string", "minLength": 1, "maxLength": 100},
        "description": {"type": "string", "minLength": 1, "maxLength": 100},
        "version": {"type": "string", "maxLength": 255, "not": {"const": "latest"}},
        "packages": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["registryType", "identifier", "transport"],
                "additionalProperties": False,
                "properties": {
                    "registryType": {"enum": ["npm", "pypi", "oci", "nuget", "mcpb"]},
                    "identifier": _TEXT,
                    "version": {"type": "string", "minLength": 1, "not": {"const": "latest"}},
                    "runtimeHint": {"type": "string"},
                    "transport": {
                        "type": "object",
                        "required": ["type"],
                        "properties": {"type": {"enum": ["stdio", "streamable-http", "sse"]}},
                    },
                },
            },
        },
    },
}

MANIFEST: dict[str, Any] = {
    "type": "object",
    "required": ["manifest_version", "name", "version", "description", "author", "server"],
    "additionalProperties": False,
    "properties": {
        "manifest_version": {"const": "0.4"},
        "name": {"type": "string", "pattern": "^[a-z][a-z0-9-]*$"},
        "display_name": _TEXT,
        "version": _VERSION,
        "description": _TEXT,
        "author": {"type": "object", "required": ["name"], "properties": {"name": _TEXT}},
        "server": {
            "type": "object",
            "required": ["type", "entry_point", "mcp_config"],
            "properties": {
                "type": {"enum": ["python", "node", "binary", "uv"]},
                "entry_point": _TEXT,
                "mcp_config": {
                    "type": "object",
                    "required": ["command", "args"],
                    "properties": {
                        "command": _TEXT,
                        "args": {"type": "array", "items": {"type": "string"}},
                        "env": {"type": "object", "additionalProperties": {"type": "string"}},
                    },
                },
            },
        },
        "tools": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name"],
                "additionalProperties": False,
                "properties": {"name": _TEXT, "description": {"type": "string"}},
            },
        },
        "compatibility": {
            "type": "object",
            "properties": {
                "platforms": {"items": {"enum": ["darwin", "win32", "linux"]}},
                "runtimes": {"type": "object", "additionalProperties": {"type": "string"}},
            },
        },
    },
}

CLIENT: dict[str, Any] = {
    "type": "object",
    "required": ["mcpServers"],
    "properties": {
        "mcpServers": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "required": ["command", "args"],
                "properties": {
                    "command": _TEXT,
                    "args": {"type": "array", "items": {"type": "string"}},
                    "env": {"type": "object"},
                },
            },
        }
    },
}
