"""The receiver as an OpenAPI description, for those who write clients; docs/openapi.json is this, in JSON.

python -m builder.uploads.openapi > docs/openapi.json
"""

from __future__ import annotations

import json
from importlib import metadata
from typing import Any

from builder.uploads.receiver import PATH
from mirror import content_schema

_REFUSALS = {
    400: "content.json is malformed or missing, the file is missing, a part is unknown or there twice",
    401: "there is no token, or it is not good; said before any of the body is read",
    403: "the token is not for this package, said as soon as content.json is known; or, on a mirror without tokens, "
    "the client is not on its machine",
    405: "the method is not PUT",
    408: "the client was too slow",
    409: "the version exists with other bytes or another content.json",
    411: "there is neither a Content-Length nor Transfer-Encoding: chunked",
    413: "content.json or the file is too large",
    415: "the body is not multipart/form-data, or has a Content-Encoding",
    417: "the request has an Expect other than 100-continue",
    500: "the mirror has a fault; its operator finds it in the log",
    503: "the receiver is being stopped; Retry-After says when to ask again",
    507: "the mirror has no room",
}
_WITHOUT_BODY = {
    304: "the file does not have the SHA-256 that content.json states; X-OTA-Error says so, for there is no body",
}
_TEXT = {"type": "string"}
_PROBLEM = {"type": "object", "properties": {"key": _TEXT, "message": _TEXT, "hint": _TEXT}}
_HEADERS = {401: "WWW-Authenticate", 405: "Allow", 503: "Retry-After", 304: "X-OTA-Error"}


def description() -> dict[str, Any]:
    """Return the description."""
    upload = {
        "operationId": "update",
        "summary": "Publish a release",
        "description": "Answered once the release is durable and visible on the mirror, or refused.",
        "security": [{"token": []}, {}],
        "requestBody": {"required": True, "content": {"multipart/form-data": _form()}},
        "responses": {str(status): response for status, response in sorted(_responses().items())},
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "otamirror receiver", "version": metadata.version("otamirror")},
        "paths": {PATH: {"put": upload}},
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": _schemas(),
        },
    }


def _form() -> dict[str, Any]:
    return {
        "schema": {
            "type": "object",
            "required": ["content", "file"],
            "additionalProperties": False,
            "properties": {
                "content": {"$ref": "#/components/schemas/content"},
                "file": {"type": "string", "format": "binary", "description": "The bytes of the package."},
            },
        },
        "encoding": {"content": {"contentType": "application/json"}},
    }


def _schemas() -> dict[str, Any]:
    """Take content.json over from its own schema, with what it refers to where OpenAPI has it."""
    text = json.dumps(content_schema.schema()).replace("#/$defs/", "#/components/schemas/")
    content = json.loads(text)
    del content["$schema"]
    return {"content": content, **content.pop("$defs"), "accepted": _accepted(), "refused": _refused()}


def _accepted() -> dict[str, Any]:
    texts = ("package", "branch", "version", "sha256")
    properties: dict[str, Any] = {
        **dict.fromkeys(texts, _TEXT),
        "new": {"type": "boolean", "description": "false if the same release was there already"},
        "warnings": {"type": "array", "items": _PROBLEM},
    }
    return {"type": "object", "required": list(properties), "properties": properties}


def _refused() -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["error", "detail"],
        "properties": {
            "error": {"type": "string", "description": "a word for programs"},
            "detail": {"type": "string", "description": "what is wrong and what to do, for people"},
            "problems": {"type": "array", "items": _PROBLEM, "description": "all that is wrong with content.json"},
        },
    }


def _responses() -> dict[int, dict[str, Any]]:
    answers: dict[int, dict[str, Any]] = {200: _json("The release is published, or was before.", "accepted")}
    answers |= {status: _json(text, "refused") for status, text in _REFUSALS.items()}
    answers |= {status: {"description": text} for status, text in _WITHOUT_BODY.items()}
    for status, name in _HEADERS.items():
        answers[status]["headers"] = {name: {"required": True, "schema": _TEXT}}
    return answers


def _json(text: str, schema: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"description": text, "content": content}


if __name__ == "__main__":
    print(json.dumps(description(), indent=2))  # noqa: T201 - that is what it is for
