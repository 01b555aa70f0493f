"""A wish becomes a job: its model, size and seed are fixed, and its command is always the same."""

from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from uuid_utils.compat import uuid7

from schemas.common import SEED_LIMIT
from schemas.events import COMMANDS, GenerationRequested
from schemas.jobs import Dialect, GenerationSpec, Job, RequestedJob
from services.admission import Admission, Wish
from services.dispatch import command_of
from services.engine.catalogue import Catalogue
from services.errors import BodyTooLarge, InvalidRequest
from services.inserts import job_document
from services.settings import ROOT
from services.settled import drawn_seed, settled

CATALOGUE = Catalogue.load(ROOT / "models" / "models.yaml")
TINY = CATALOGUE.find("tiny")
JOB = UUID("01930000-0000-7000-8000-000000000001")


class Unasked:
    """A database of which nothing may be wanted but its collections' names."""

    def __getattr__(self, collection: str) -> None:
        return


def admit(spec: GenerationSpec, job: UUID = JOB, **wish: Any) -> Job:
    admission = Admission(cast(Any, Unasked()), cast(Any, None), cast(Any, None), CATALOGUE)
    return admission.admit("demo", Wish(spec=spec, dialect=Dialect.BLOG, **wish), job)


def test_what_is_missing_is_fixed_at_admission() -> None:
    job = admit(GenerationSpec(prompt="a cat", model="tiny"))

    assert (job.spec.width, job.spec.height) == (TINY.default_size.width, TINY.default_size.height)
    assert job.spec.seed == drawn_seed(JOB)
    assert (job.id, job.run, job.published) == (JOB, JOB, False)


def test_the_default_model_is_named_by_its_own_id() -> None:
    assert admit(GenerationSpec(prompt="a cat")).spec.model == CATALOGUE.default.id


def test_a_size_that_was_asked_for_is_kept() -> None:
    spec = GenerationSpec(prompt="a cat", model="tiny", width=512, height=512, seed=0)

    assert admit(spec).spec == spec


def test_both_doors_give_a_job_without_size_the_models_own() -> None:
    requested = RequestedJob(prompt="a cat", model="tiny")

    assert admit(requested.spec).spec == admit(GenerationSpec(prompt="a cat", model="tiny")).spec


def test_drawn_seeds_differ_between_jobs_and_never_for_one() -> None:
    jobs = [uuid4() for _ in range(200)]

    seeds = {job: drawn_seed(job) for job in jobs}

    assert len(set(seeds.values())) == len(jobs)
    assert all(0 <= seed < SEED_LIMIT for seed in seeds.values())
    assert seeds == {job: drawn_seed(job) for job in jobs}


@pytest.mark.parametrize(
    ("spec", "pointer"),
    [
        ({"prompt": " \n"}, "/prompt"),
        ({"prompt": "x", "model": "nobody's"}, "/model"),
        ({"prompt": "x", "model": "tiny", "width": 8, "height": 64}, "/width"),
        ({"prompt": "x", "model": "tiny", "width": 68, "height": 64}, "/width"),
        ({"prompt": "x", "model": "tiny", "width": 64, "height": 8192}, "/height"),
        ({"prompt": "x", "model": "tiny", "strength": 0.5}, "/strength"),
        ({"prompt": "x", "model": "tiny", "references": [{"role": "mask"}]}, "/references"),
        ({"prompt": "x", "model": "tiny", "loras": [{"id": "nobodys"}]}, "/loras/0/id"),
    ],
)
def test_what_no_model_can_do_is_refused_where_it_stands(
    spec: dict[str, Any], pointer: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        settled(GenerationSpec(**spec), CATALOGUE, JOB)

    assert refused.value.pointer == pointer


def test_a_command_made_again_from_the_document_has_the_same_bytes() -> None:
    """So that the outbox and a replay send what was sent."""
    job = admit(
        GenerationSpec(prompt="a cat ☂", model="tiny"),
        after=(uuid4(),),
        meta={"none": None, "deep": [{"none": None}]},
        traceparent="00-1-2-01",
        flow_id=uuid4(),
    )

    again = Job.model_validate(job_document(job))

    assert again == job
    assert command_of([again]).encode() == command_of([job]).encode()


def test_a_command_says_all_that_the_queue_must_know() -> None:
    job = admit(GenerationSpec(prompt="a cat", model="tiny"), after=(uuid4(),), flow_id=uuid4())

    command = COMMANDS.validate_json(command_of([job]).encode())

    assert isinstance(command, GenerationRequested)
    (requested,) = command.data.jobs
    assert requested.spec == job.spec
    assert (requested.job_id, requested.run_id, requested.after, requested.flow_id) == (
        job.id,
        job.run,
        job.after,
        job.flow_id,
    )
    assert (command.subject, command.projectid) == (str(job.id), "demo")


async def test_what_no_broker_would_take_is_refused_before_anything_is_stored() -> None:
    admission = Admission(cast(Any, Unasked()), cast(Any, None), cast(Any, None), CATALOGUE)
    spec = GenerationSpec(prompt="x", model="tiny")
    large = Wish(spec=spec, dialect=Dialect.BLOG, meta={"text": "x" * 100_000})

    with pytest.raises(BodyTooLarge):
        await admission.submit("demo", [large] * 50)


def test_ids_of_one_moment_are_in_order() -> None:
    """A batch's first job names its command, when the outbox sends it too."""
    ids = [uuid7() for _ in range(1000)]

    assert ids == sorted(ids)
