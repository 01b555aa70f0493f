"""Routes, their operations and the wire models in -> an OpenAPI 3.1 document out. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from pydantic import JsonValue
from pydantic.json_schema import JsonSchemaMode, models_json_schema
from starlette.convertors import UUIDConvertor
from starlette.routing import BaseRoute, Route

from api.documents.operations import (
    ANSWER_HEADERS,
    ASKED_HEADERS,
    REFUSAL_HEADERS,
    REFUSALS,
    Answer,
    Handler,
    Operation,
)
from api.problems import Shape, shape_of
from api.query_keys import PARAMETER
from schemas.common import Value

VERSION: Final = "1.0.0"  #: of the HTTP API
REFERENCE: Final = "#/components/schemas/{model}"
SECURITY: Final[dict[str, JsonValue]] = {
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "bearer": {"type": "http", "scheme": "bearer"},
    "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
    "queryKey": {"type": "apiKey", "in": "query", "name": PARAMETER},
}

Json = dict[str, Any]
References = Mapping[tuple[Any, JsonSchemaMode], Json]


def document(routes: Sequence[BaseRoute], operations: Mapping[Handler, Operation]) -> Json:
    """A route without an operation is not shown; a test says which may be."""
    shown = [
        (route, operations[route.endpoint])
        for route in routes
        if isinstance(route, Route) and route.endpoint in operations
    ]
    references, schemas = models_json_schema(
        sorted(set(_models(shown)), key=lambda each: (each[0].__name__, each[1])),
        ref_template=REFERENCE,
    )
    paths: dict[str, Json] = {}
    for route, operation in shown:
        for method in sorted((route.methods or set()) - {"HEAD"}):
            described = _operation(route, operation, references)
            paths.setdefault(route.path_format, {})[method.lower()] = described
    return {
        "openapi": "3.1.0",
        "info": {"title": "Darkroom", "version": VERSION, "license": {"name": "Apache-2.0"}},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": schemas["$defs"], "securitySchemes": SECURITY},
    }


def _models(
    shown: Sequence[tuple[Route, Operation]],
) -> Iterator[tuple[type[Value], JsonSchemaMode]]:
    for route, operation in shown:
        yield shape_of(route.path).model, "serialization"
        if operation.body:
            yield operation.body, "validation"
        for answer in operation.answers.values():
            if answer.model:
                yield answer.model, "serialization"


def _operation(route: Route, operation: Operation, references: References) -> Json:
    described: Json = {
        "operationId": f"{operation.tag}_{route.name}",
        "tags": [operation.tag],
        "summary": operation.summary,
        "parameters": [*_in_path(route), *_in_query(operation), *_in_headers(operation)],
        "responses": dict(sorted(_responses(route, operation, references).items())),
        "security": [{name: []} for name in _security(operation)],
    }
    if operation.body:
        content = {operation.body_type: {"schema": references[operation.body, "validation"]}}
        described["requestBody"] = {"required": operation.body_required, "content": content}
    return described


def _security(operation: Operation) -> Iterator[str]:
    if operation.needs_key:
        yield from ("apiKey", "bearer")
    if operation.query_key:
        yield "queryKey"
    if operation.token:
        yield "token"


def _in_path(route: Route) -> Iterator[Json]:
    for name, convertor in route.param_convertors.items():
        uuid = {"format": "uuid"} if isinstance(convertor, UUIDConvertor) else {}
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string", **uuid}}


def _in_query(operation: Operation) -> Iterator[Json]:
    if operation.query is None:
        return
    schema = operation.query.model_json_schema()
    for name, field in schema["properties"].items():
        (kind,) = [each for each in field.get("anyOf", [field]) if each.get("type") != "null"]
        if "$ref" in kind:
            kind = schema["$defs"][kind["$ref"].rpartition("/")[2]]
        required = name in schema.get("required", ())
        yield {"name": name, "in": "query", "required": required, "schema": kind}


def _in_headers(operation: Operation) -> Iterator[Json]:
    for name in operation.headers:
        yield {"name": name, "in": "header", "required": False, **ASKED_HEADERS[name]}


def _responses(route: Route, operation: Operation, references: References) -> dict[str, Json]:
    shape = shape_of(route.path)
    refusals = {
        status: Answer(
            description=REFUSALS[status],
            model=shape.model,
            media_type=shape.media_type,
            headers=REFUSAL_HEADERS.get(status, ()),
        )
        for status in _refusals(operation, shape)
    }
    # a 416 has no body
    if 416 in refusals:
        headers = ("Content-Range", "Accept-Ranges")
        refusals[416] = Answer(description=REFUSALS[416], headers=headers)
    answers = refusals | operation.answers
    return {str(status): _answer(answer, references) for status, answer in answers.items()}


def _refusals(operation: Operation, shape: Shape) -> set[int]:
    """With bad input as the dialect answers it; a key used for another request is always 422."""
    every = {shape.bad_input if status == 422 else status for status in operation.refusals}
    return every | ({422} if "Idempotency-Key" in operation.headers else set())


def _answer(answer: Answer, references: References) -> Json:
    always = {name: ANSWER_HEADERS[name] | {"required": True} for name in answer.headers}
    headers = always | {name: ANSWER_HEADERS[name] for name in answer.sometimes}
    described: Json = {"description": answer.description}
    if headers:
        described["headers"] = headers
    if answer.model:
        schema = references[answer.model, "serialization"]
        described["content"] = {answer.media_type: {"schema": schema}}
    elif answer.media_type != "application/json":
        described["content"] = {answer.media_type: {}}
    return described
