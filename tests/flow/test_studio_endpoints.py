"""Every endpoint of studio's reference, in its order, asked with every parameter that it names."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode

import httpx2
import pytest

from tests.flow.product import Product
from tests.flow.studio_world import DRAFT, World, data, png

pytestmark = [pytest.mark.flow, pytest.mark.timeout(600)]

DOCUMENT: Final = (Path(__file__).parent / "documents" / "studio.md").read_text()
LONGEST: Final = {"limit": "100", "offset": "0"}


class Endpoint(NamedTuple):
    method: str
    path: str
    parameters: set[str]


@dataclass(frozen=True)
class Call:
    """`values` of what a path names, a query, and a JSON body or a form."""

    values: dict[str, str] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)
    body: dict[str, Any] | None = None
    form: dict[str, str] | None = None

    @property
    def parameters(self) -> set[str]:
        file = {"file"} if self.form is not None else set()
        return {*self.values, *self.query, *(self.body or {}), *(self.form or {}), *file}


def endpoints() -> list[Endpoint]:
    sections = re.split(r"^### ", DOCUMENT, flags=re.MULTILINE)[1:]
    return [_endpoint(*section.partition("\n")[::2]) for section in sections]


def _endpoint(heading: str, section: str) -> Endpoint:
    method, path = heading.split()
    described = section.partition("**Purpose:**")[0]
    named = re.findall(r"^- `(\w+)` - ", described, flags=re.MULTILINE)
    return Endpoint(method, path, set(named))


def test_every_endpoint_takes_its_parameters_and_answers_as_documented(product: Product) -> None:
    with httpx2.Client(timeout=60) as client:
        world = World(product, client)
        first, second = world.made(flowAlias="@sketch"), world.made()
        world.values = {
            "reference": first["outputImageId"],
            "flow": first["flowId"],
            "spare": second["id"],
            "image": second["outputImageId"],
        }
        for endpoint, (call, status_code, check) in zip(endpoints(), STEPS, strict=True):
            asked = call(world.values)
            assert asked.parameters - {"quality"} == endpoint.parameters, endpoint
            answer = sent(world, endpoint, asked)
            assert answer.status_code == status_code, f"{endpoint}: {answer.text[:500]}"
            check(world, answer)


def sent(world: World, endpoint: Endpoint, call: Call) -> httpx2.Response:
    path = re.sub(r":(\w+)", lambda name: quote(call.values[name[1]], safe=""), endpoint.path)
    url = f"{world.product.access['url']}{path}?{urlencode(call.query)}".rstrip("?")
    headers = {"X-API-Key": world.product.access["api_key"]}
    if call.form is not None:
        files = {"file": ("picture.png", png(), "image/png")}
        return world.client.request("POST", url, headers=headers, data=call.form, files=files)
    return world.client.request(endpoint.method, url, headers=headers, json=call.body)


def created(world: World, answer: httpx2.Response) -> None:
    made = data(answer)
    world.values["generation"] = made["id"]
    (reference,) = made["referenceImages"]
    assert (reference["id"], reference["alias"]) == (world.values["reference"], "@sketch")
    assert (made["alias"], made["flowAlias"]) == ("@fox", "@hero")
    assert (made["flowId"], made["autoEnhance"]) == (world.values["flow"], False)
    assert (made["aspectRatio"], made["meta"]) == ("16:9", {"n": 1})
    assert world.finished(made["id"])["enhancedPrompt"] is None


def listed(key: str) -> Callable[[World, httpx2.Response], None]:
    def check(world: World, answer: httpx2.Response) -> None:
        assert world.values[key] in [each["id"] for each in data(answer)]
        assert answer.json()["pagination"]["limit"] == 100

    return check


def is_the(key: str) -> Callable[[World, httpx2.Response], None]:
    def check(world: World, answer: httpx2.Response) -> None:
        assert data(answer)["id"] == world.values[key]

    return check


def retried(world: World, answer: httpx2.Response) -> None:
    again = data(answer)
    assert (again["prompt"], again["aspectRatio"]) == ("a green fox", "1:1")
    assert (again["status"], again["retryCount"]) == ("pending", 1)
    world.finished(again["id"])


def begun(world: World, answer: httpx2.Response) -> None:
    world.values["new flow"] = data(answer)["id"]
    assert data(answer)["meta"] == {"name": "x"}


def given(world: World, answer: httpx2.Response) -> None:
    assert data(answer)["aliases"]["@cover"] == world.values["reference"]


def taken(world: World, answer: httpx2.Response) -> None:
    assert "@cover" not in data(answer)["aliases"]


def uploaded(world: World, answer: httpx2.Response) -> None:
    image = data(answer)
    assert (image["alias"], image["meta"], image["source"]) == ("@photo", {"n": 2}, "uploaded")
    world.values["image"] = image["id"]


def resolved(world: World, answer: httpx2.Response) -> None:
    found = data(answer)
    assert found["image"]["id"] == world.values["image"]
    assert (found["scope"], found["flowId"]) == ("project", None)


def marked(world: World, answer: httpx2.Response) -> None:
    image = data(answer)
    assert (image["alias"], image["meta"]) == ("@picture", {"n": 3})
    assert image["focalPoint"] == {"x": 0, "y": 1}


def named(world: World, answer: httpx2.Response) -> None:
    assert data(answer)["alias"] == "@photo"


def live(world: World, answer: httpx2.Response) -> None:
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["x-cache-status"] == "MISS"
    assert {"x-image-id", "x-generation-id"} <= set(answer.headers)
    assert answer.headers["cache-control"] == "public, max-age=31536000"


Values = dict[str, str]
Step = tuple[Callable[[Values], Call], int, Callable[[World, httpx2.Response], None]]

#: In the document's order.
STEPS: Final[tuple[Step, ...]] = (
    (
        lambda v: Call(
            body={
                **DRAFT,
                "referenceImages": ["@sketch"],
                "aspectRatio": "16:9",
                "flowId": v["flow"],
                "assignAlias": "@fox",
                "assignFlowAlias": "@hero",
                "autoEnhance": False,
                "meta": {"n": 1},
            }
        ),
        201,
        created,
    ),
    (
        lambda v: Call(
            query={
                **LONGEST,
                "flowId": v["flow"],
                "status": "success",
                "includeDeleted": "false",
            }
        ),
        200,
        listed("generation"),
    ),
    (lambda v: Call({"id": v["generation"]}), 200, is_the("generation")),
    (
        lambda v: Call(
            {"id": v["generation"]}, body={"prompt": "a green fox", "aspectRatio": "1:1"}
        ),
        200,
        retried,
    ),
    (lambda v: Call({"id": v["spare"]}), 200, is_the("spare")),
    (lambda _: Call(body={"meta": {"name": "x"}}), 201, begun),
    (lambda _: Call(query=LONGEST), 200, listed("new flow")),
    (lambda v: Call({"id": v["flow"]}), 200, is_the("flow")),
    (lambda v: Call({"id": v["flow"]}, LONGEST), 200, listed("generation")),
    (lambda v: Call({"id": v["flow"]}, LONGEST), 200, listed("reference")),
    (
        lambda v: Call({"id": v["flow"]}, body={"aliases": {"@cover": v["reference"]}}),
        200,
        given,
    ),
    (lambda v: Call({"id": v["flow"], "alias": "@cover"}), 200, taken),
    (lambda v: Call({"id": v["new flow"]}), 200, is_the("new flow")),
    (
        lambda v: Call(form={"alias": "@photo", "flowId": v["flow"], "meta": json.dumps({"n": 2})}),
        201,
        uploaded,
    ),
    (
        lambda v: Call(
            query={
                **LONGEST,
                "flowId": v["flow"],
                "source": "uploaded",
                "alias": "@photo",
                "includeDeleted": "true",
            }
        ),
        200,
        listed("image"),
    ),
    (lambda v: Call({"alias": "@photo"}, {"flowId": v["flow"]}), 200, resolved),
    (lambda v: Call({"id": v["image"]}), 200, is_the("image")),
    (
        lambda v: Call(
            {"id": v["image"]},
            body={"alias": "@picture", "focalPoint": {"x": 0, "y": 1}, "meta": {"n": 3}},
        ),
        200,
        marked,
    ),
    (lambda v: Call({"id": v["image"]}, body={"alias": "@photo"}), 200, named),
    (lambda v: Call({"id": v["image"]}), 200, is_the("image")),
    (lambda _: Call(query={"prompt": "a green triangle", "aspectRatio": "1:1"}), 200, live),
)
