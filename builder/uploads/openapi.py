"""The receiver as an OpenAPI description, for those who write clients; docs/openapi.json is this, in JSON.

python -m builder.uploads.openapi > docs/openapi.json
"""

from __future__ import annotations

import json
from importlib import metadata
from typing import Any

from builder.uploads.receiver import PATH
from builder.uploads.upload import CONTENT, FILE, LIST, SIGNED
from mirror import content_schema

_REFUSALS = {
    400: "content.json is malformed or missing, the file is missing, a part is unknown or there twice; what is signed "
    "is not valid, or its package is not claimed",
    401: "there is no token, or it is not good; said before any of the body is read",
    403: "the token is not for this package, said as soon as content.json or the list is known; on a mirror without "
    "tokens, the client is not on its machine; or the package is claimed, and its publisher has not signed",
    405: "the method is not PUT",
    408: "the client was too slow",
    409: "the version exists with other bytes or another content.json; or the signed role is not the next one after "
    "the current, whose `version` the answer has",
    411: "there is neither a Content-Length nor Transfer-Encoding: chunked",
    413: "a part is too large",
    415: "the body is not multipart/form-data, or has a Content-Encoding",
    417: "the request has an Expect other than 100-continue",
    500: "the mirror has a fault; its operator finds it in the log",
    503: "the receiver is being stopped or has too much to do, or the mirror cannot sign at the moment, and says why; "
    "Retry-After says when to ask again",
    507: "the mirror has no room",
}
_TOGETHER = ((CONTENT, FILE), (CONTENT, FILE, LIST, SIGNED), (LIST, SIGNED))
"""The parts of a release, of one whose package is claimed, and of what is said of such a package without one."""

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
        "summary": "Publish a release, or what the publisher of a claimed package says of its list",
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
    parts = {
        "content": {"$ref": "#/components/schemas/content"},
        "file": {"type": "string", "format": "binary", "description": "The bytes of the package."},
        "list": {
            "type": "string",
            "description": "The exact bytes of the new release list of a claimed package, canonical JSON in one line; "
            "further lines are older segments that it names and that are new.",
        },
        "signed": {
            "type": "string",
            "description": "The package's role, metadata of The Update Framework, signed by its publisher: the current "
            "version plus one. It names every list of the package.",
        },
    }
    return {
        "schema": {"oneOf": [_together(parts, *names) for names in _TOGETHER]},
        "encoding": {
            "content": {"contentType": "application/json"},
            "list": {"contentType": "application/octet-stream"},
            "signed": {"contentType": "application/json"},
        },
    }


def _together(parts: dict[str, Any], *names: str) -> dict[str, Any]:
    return {
        "type": "object",
        "required": list(names),
        "additionalProperties": False,
        "properties": {name: parts[name] for name in names},
    }


def _schemas() -> dict[str, Any]:
    """Take content.json over from its own schema, with what it refers to where OpenAPI has it."""
    text = json.dumps(content_schema.schema()).replace("#/$defs/", "#/components/schemas/")
    content = json.loads(text)
    del content["$schema"]
    return {"content": content, **content.pop("$defs"), "accepted": _accepted(), "refused": _refused()}


def _accepted() -> dict[str, Any]:
    always: dict[str, Any] = {
        "package": _TEXT,
        "branch": _TEXT,
        "new": {"type": "boolean", "description": "false if the same was there already"},
        "warnings": {"type": "array", "items": _PROBLEM},
    }
    sometimes: dict[str, Any] = {
        "version": {**_TEXT, "description": "of the release, if one came"},
        "sha256": {**_TEXT, "description": "of its file"},
        "signed": {"type": "integer", "description": "version of the role, if one came"},
    }
    return {"type": "object", "required": list(always), "properties": always | sometimes}


def _refused() -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["error", "detail"],
        "properties": {
            "error": {"type": "string", "description": "a word for programs"},
            "detail": {"type": "string", "description": "what is wrong and what to do, for people"},
            "problems": {"type": "array", "items": _PROBLEM, "description": "all that is wrong with content.json"},
            "version": {"type": "integer", "description": "with `stale-role`: the current version of the role"},
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
