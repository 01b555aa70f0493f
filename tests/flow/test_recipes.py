"""The recipes document, example by example, on the running product; and our own page's."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest

from tests.flow.product import ROOT, Product, wait_for

pytestmark = [pytest.mark.flow, pytest.mark.timeout(300)]

DOCUMENT = (Path(__file__).parent / "documents" / "recipes.md").read_text()
STEPS = [{"description": "Whisk the eggs with parmesan until smooth."}, {"description": "Bake."}]


class Example(NamedTuple):
    method: str
    path: str
    sent: dict[str, Any] | None
    answered: dict[str, Any]

    @property
    def kind(self) -> str:
        return str(self.answered["job_id"]).split("_")[1]


def examples() -> Iterator[Example]:
    """Each endpoint's heading, what it is sent and what it answers, as they are printed."""
    headings = list(re.finditer(r"^(GET|POST) (/api/\S+)$", DOCUMENT, re.MULTILINE))
    ends = [*(heading.start() for heading in headings[1:]), len(DOCUMENT)]
    for heading, end in zip(headings, ends, strict=True):
        printed = re.findall(r"^\{.*?^\}$", DOCUMENT[heading.end() : end], re.M | re.S)
        *sent, answered = map(json.loads, printed)
        yield Example(heading[1], heading[2], sent[0] if sent else None, answered)


SUBMITS = [example for example in examples() if example.method == "POST"]
(POLL,) = [example for example in examples() if example.method == "GET"]


@pytest.fixture(scope="module")
def client(product: Product) -> Iterator[httpx2.Client]:
    token = json.loads(product.run("tokens", "create", "--user", "ada", "--json"))["token"]
    headers = {"Authorization": f"Bearer {token}"}
    with httpx2.Client(base_url=product.access["url"], headers=headers, timeout=30) as client:
        recipe = {"title": "Frittata al Parmigiano", "steps": STEPS}
        assert client.put("/api/image-gen/recipes/17", json=recipe).status_code == 200
        yield client


def test_the_document_has_three_submits_and_a_poll() -> None:
    assert sorted(example.kind for example in SUBMITS) == ["batch", "hero", "step"]
    assert POLL.path == "/api/image-gen/jobs/:job_id"


@pytest.mark.parametrize("example", SUBMITS, ids=lambda example: example.kind)
def test_a_submit_answers_as_printed_and_its_poll_does_so_in_the_end(
    client: httpx2.Client, example: Example
) -> None:
    path = example.path.replace(":id", "17").replace(":n", "2")

    submit = client.post(path, json=example.sent)

    handle = submit.json()["job_id"]
    assert submit.status_code == 200
    assert submit.json() == {**example.answered, "job_id": handle}
    assert re.fullmatch(rf"img_{example.kind}_[0-9a-f]{{32}}", handle)
    at = POLL.path.replace(":job_id", handle)
    polls = []

    def has_ended() -> bool:
        polls.append(client.get(at).json())
        return polls[-1]["status"] in ("done", "failed")

    wait_for(has_ended, "the job", 120)
    done = polls[-1]
    assert done == {**POLL.answered, "job_id": handle, "result_url": done["result_url"]}
    assert {tuple(poll) for poll in polls} == {tuple(POLL.answered)}
    file = client.get(done["result_url"])
    if example.kind != "batch":
        assert file.content.startswith(b"\x89PNG")
        return
    results = file.json()["results"]
    assert [(each["step_index"], each["status"]) for each in results] == [(1, "done"), (2, "done")]
    for each in results:
        assert client.get(each["result_url"]).content.startswith(b"\x89PNG")


def test_our_own_example_ends_with_a_manifest(product: Product) -> None:
    page = (ROOT / "docs" / "api.md").read_text()
    (script,) = re.findall(r"```bash\n(TOKEN=.*?)```", page, re.S)
    environment = {
        **os.environ,
        "DARKROOM_HOME": str(product.home),
        "DARKROOM_URL": product.access["url"],
    }

    done = subprocess.run(
        ("bash", "-euc", script),
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    answers = done.stdout.replace("}{", "}\n{").splitlines()
    assert json.loads(answers[0])["recipe_id"] == "17"
    assert json.loads(answers[1])["status"] == "done", answers[1]
    assert json.loads(answers[1])["result_url"].endswith(".json")
