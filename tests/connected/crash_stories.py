"""What happens to jobs from their submit to their pictures: each story a process that may die."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final, NamedTuple

from schemas.common import now
from schemas.jobs import Dialect, GenerationSpec, Idempotency
from schemas.topics import GENERATION_COMMANDS
from services.admission import Wish
from services.reruns import Changes
from tests.connected.crash_parts import Fuse
from tests.connected.crash_world import DEADLY, LIFE, REFUSED, Process, Step, World
from tests.connected.kafka_parts import strangers_command, strangers_signature

CIRCLE, FINAL = "a red circle", "the same, but larger"
SIZE: Final = {"model": "tiny", "width": 64, "height": 64}

Before = Callable[[World], Awaitable[None]]


def wish(prompt: str = CIRCLE, **facts: object) -> Wish:
    spec = GenerationSpec.model_validate({"prompt": prompt, **SIZE})
    return Wish.model_validate({"spec": spec, "dialect": Dialect.BLOG, **facts})


async def nothing(world: World) -> None:
    return


async def submit(process: Process) -> None:
    """With an Idempotency-Key, so that who got no answer may ask again."""
    key = Idempotency(
        scope="demo::POST /generate",
        key="same",
        request_sha256="a" * 64,
        expires_at=now() + timedelta(days=1),
    )
    await process.submit(wish(), idempotency=key)


async def submit_claiming(process: Process) -> None:
    await process.submit(wish(alias="@circle", new_flow=True))


async def show_nothing(process: Process) -> None:
    """A worker that could not reach `jobs`: the projector alone folds what it tells of."""

    async def unshown(*_: object) -> None:
        return

    process.outcomes._show = unshown  # type: ignore[assignment, method-assign]


async def retry(process: Process) -> None:
    (job,) = await process.world.jobs()
    await process.admission.rerun(job, Changes())
    await process.end()


async def submit_batch(process: Process) -> None:
    await process.submit(wish(), wish())


async def submit_deadly(process: Process) -> None:
    await process.submit(wish(DEADLY))


async def submit_chain(process: Process) -> None:
    (first,) = await process.submit(wish())
    await process.submit(wish(FINAL, after=(first.id,)))


async def submit_doomed_chain(process: Process) -> None:
    (first,) = await process.submit(wish(REFUSED))
    await process.submit(wish(FINAL, after=(first.id,)))


async def cancel(process: Process) -> None:
    (job,) = await process.world.jobs()
    await process.admission.cancel(job, "no longer wanted")


async def inserted_only(world: World) -> None:
    """The API died before it published."""
    await world.live(Fuse("jobs.insert_many", 1), submit)
    await world.pass_time()


async def made_once(world: World) -> None:
    await world.live(Fuse(), submit, *LIFE)
    await world.pass_time()


async def claimed_by_strangers(world: World) -> None:
    await send_signed(world, {"prompt": CIRCLE, **SIZE, "alias": "@circle"})


async def sent_by_strangers(world: World) -> None:
    too_wide = {"prompt": CIRCLE, **SIZE, "width": 4096}
    await send_signed(world, {"prompt": CIRCLE, **SIZE}, too_wide, b"no JSON")


async def send_signed(world: World, *asked: dict[str, object] | bytes) -> None:
    """One command each; bytes go as they are."""
    key = await world.key()
    topic = world.publisher.prefix + GENERATION_COMMANDS.name
    for number, job in enumerate(asked, start=1):
        value = job
        if not isinstance(value, bytes):
            value = strangers_command(key.project, value, id=f"order-{number}")
        signature = strangers_signature(value, key.id, key.signing_secret)
        await world.publisher.publish_again(topic, b"their key", value, (signature,))


async def died_after_its_upload(world: World) -> None:
    await world.live(Fuse("put", 1), submit, *LIFE)
    await world.pass_time()


async def died_four_times(world: World) -> None:
    await world.live(Fuse(), submit_deadly, Process.take_in)
    for _ in range(4):
        await world.live(Fuse(), Process.sweep, an_hour, Process.work)
        await world.pass_time()


async def an_hour(process: Process) -> None:
    await process.world.pass_time()


class Story(NamedTuple):
    steps: tuple[Step, ...]
    allowed: dict[str, set[str]]  #: prompt -> how it may end
    counts: set[int]  #: of jobs
    before: Before = nothing
    again: tuple[Step, ...] = ()  #: what others do before time passes


DONE: Final = {CIRCLE: {"completed"}}
JOB: Final = Story((submit, *LIFE), DONE, {1}, again=(submit,))
IDLE: Final = JOB._replace(steps=(submit, Process.take_in_idle, *LIFE))
LEFT: Final = Story(LIFE, DONE, {1}, before=inserted_only)
BATCH: Final = Story((submit_batch, *LIFE), DONE, {0, 2})
CHAIN: Final = Story((submit_chain, *LIFE), {**DONE, FINAL: {"completed"}}, {1, 2})
DOOMED: Final = Story(
    (submit_doomed_chain, *LIFE), {REFUSED: {"failed"}, FINAL: {"cancelled"}}, {1, 2}
)
CANCELLED: Final = Story(
    (submit, Process.take_in, cancel, Process.take_in, *LIFE),
    {CIRCLE: {"completed", "cancelled"}},
    {1},
)
OVERTAKEN: Final = Story(
    (cancel, Process.take_in, *LIFE), {CIRCLE: {"cancelled"}}, {1}, before=inserted_only
)
STRANGE: Final = Story(LIFE, DONE, {1}, before=sent_by_strangers)
DEADLY_JOB: Final = Story((submit_deadly, *LIFE), {DEADLY: {"failed"}}, {1})
POISON: Final = Story(LIFE, {DEADLY: {"failed"}}, {1}, before=died_four_times)
LOSER: Final = Story(
    (Process.sweep, an_hour, *LIFE, an_hour, *LIFE), DONE, {1}, before=died_after_its_upload
)

CLAIMS: Final = Story((submit_claiming, *LIFE), DONE, {0, 1})
RETRIED: Final = Story((retry, *LIFE), DONE, {1}, before=made_once)
#: The projector's own writes come first where nobody has shown the outcome before it.
UNSHOWN: Final = JOB._replace(steps=(show_nothing, *JOB.steps))
UNSHOWN_CLAIMS: Final = CLAIMS._replace(steps=(show_nothing, *CLAIMS.steps))
UNSHOWN_RETRIED: Final = RETRIED._replace(steps=(show_nothing, *RETRIED.steps))
STRANGERS_CLAIMS: Final = Story(LIFE, DONE, {1}, before=claimed_by_strangers)

STORIES: Final = {
    "a job": JOB,
    "a job for an idle worker": IDLE,
    "a job that the API left to the outbox": LEFT,
    "a batch": BATCH,
    "a job that waits for another": CHAIN,
    "a job that waits for one that fails": DOOMED,
    "a job that claims a name and a flow": CLAIMS,
    "a job of the second door that claims a name": STRANGERS_CLAIMS,
    "a retried job": RETRIED,
    "a cancelled job": CANCELLED,
    "a cancel that came before its job": OVERTAKEN,
    "a job of the second door": STRANGE,
    "a job that kills its worker": DEADLY_JOB,
    "a job that has killed four workers": POISON,
    "pictures that a dead worker left": LOSER,
}
