"""What outputs were made from and how things are today -> which are out of date, and why.

Pure: no I/O, no clock. What would be made from its own descendant is not out of date by that: in
a chain in which each picture takes the name of the one before, the name has only moved on.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from pydantic import Field

from schemas.common import Value
from schemas.jobs import PresetVersion, Reference
from services.library.dependencies import ordered, reached

MOMENTS: Final = frozenset({"@last"})  #: every picture that is made would outdate all others


class Kind(StrEnum):
    ALIAS = "alias"
    PRESET = "preset"
    MODEL = "model"
    REFERENCE = "reference"


class Because(Value):
    """One thing that is not as it was; `now` is None where it is yet to be made anew."""

    kind: Kind
    name: str
    was: str
    now: str | None


class Used(Value):
    """A picture that another was made from, and what it was called."""

    reference: Reference
    image_id: UUID

    @property
    def alias(self) -> str | None:
        """A name that stands for a thing, not for a moment."""
        alias = self.reference.alias
        return None if alias in MOMENTS else alias


class Built(Value):
    """A generation's shown output, and what it was made from."""

    generation: UUID
    created_at: datetime
    model: str
    model_sha256: str | None = None
    preset: PresetVersion | None = None
    used: tuple[Used, ...] = ()


class Today(Value):
    """How things are; what is not in here is not known to have changed."""

    leads: dict[str, UUID] = Field(default_factory=dict)  #: alias -> image
    makers: dict[UUID, UUID] = Field(default_factory=dict)  #: image -> its generation
    newest: dict[UUID, UUID] = Field(default_factory=dict)  #: image -> what is in its place now
    origins: dict[UUID, tuple[UUID, ...]] = Field(default_factory=dict)  #: image <- images
    models: dict[str, str] = Field(default_factory=dict)  #: id -> sha256 of its files
    presets: dict[str, int] = Field(default_factory=dict)  #: slug -> version


class Stale(Value):
    """An output that is out of date, and what it would be made from today."""

    generation: UUID
    because: tuple[Because, ...]
    references: tuple[Reference, ...]  #: images; those of `awaited` are jobs that are made anew
    awaited: frozenset[UUID] = frozenset()  #: generations that come before it


def stale(built: Iterable[Built], today: Today) -> tuple[Stale, ...]:
    """Those out of date, and those made from them, each after what it is made from.

    Where they are made from each other in a circle, the oldest comes first and waits for none
    of the circle.
    """
    oldest_first = sorted(built, key=lambda each: (each.created_at, each.generation))
    known = {each.generation: each for each in oldest_first}
    because = {name: tuple(_changes(each, today)) for name, each in known.items()}
    edges = {name: _made_from(each, today) & known.keys() for name, each in known.items()}
    outdated = reached({name for name, found in because.items() if found}, edges)
    found = []
    done: set[UUID] = set()
    for name in ordered([name for name in known if name in outdated], edges):
        awaited = frozenset(edges[name] & done)
        found.append(_stale(known[name], because[name], awaited, outdated, today))
        done.add(name)
    return tuple(found)


def sources(built: Built, today: Today) -> tuple[UUID, ...]:
    """The pictures that it would be made from today."""
    return tuple(_target(built, used, today) for used in built.used)


def _changes(built: Built, today: Today) -> Iterator[Because]:
    for used in built.used:
        target = _target(built, used, today)
        if target != used.image_id:
            yield _moved(used, str(target))
    sha256 = today.models.get(built.model)
    if sha256 and built.model_sha256 and sha256 != built.model_sha256:
        yield Because(kind=Kind.MODEL, name=built.model, was=built.model_sha256, now=sha256)
    if built.preset and (version := today.presets.get(built.preset.slug)):
        was = built.preset.version
        if version != was:
            yield Because(kind=Kind.PRESET, name=built.preset.slug, was=str(was), now=str(version))


def _moved(used: Used, now: str | None) -> Because:
    kind = Kind.REFERENCE if used.alias is None else Kind.ALIAS
    name = used.alias or str(used.image_id)
    return Because(kind=kind, name=name, was=str(used.image_id), now=now)


def _target(built: Built, used: Used, today: Today) -> UUID:
    """The picture that would be used today: the alias's, else what is in the place of the old."""
    found = today.leads.get(used.alias) if used.alias else None
    found = found or today.newest.get(used.image_id)
    if found is None or _descends(found, built.generation, today):
        return used.image_id
    return found


def _descends(image: UUID, generation: UUID, today: Today) -> bool:
    """Whether the generation made the picture, or one that it was made from, and so on."""
    seen, ahead = {image}, [image]
    while ahead:
        each = ahead.pop()
        if today.makers.get(each) == generation:
            return True
        new = set(today.origins.get(each, ())) - seen
        seen |= new
        ahead += new
    return False


def _made_from(built: Built, today: Today) -> set[UUID]:
    """The generations whose shown output it would be made from."""
    shown = {image for image in sources(built, today) if today.newest.get(image, image) == image}
    return {today.makers[image] for image in shown if image in today.makers} - {built.generation}


def _stale(
    built: Built,
    because: tuple[Because, ...],
    awaited: frozenset[UUID],
    outdated: set[UUID],
    today: Today,
) -> Stale:
    told, references = list(because), []
    for used in built.used:
        target = _target(built, used, today)
        maker = today.makers.get(target)
        current = today.newest.get(target, target) == target
        if current and target == used.image_id and maker in outdated - {built.generation}:
            told.append(_moved(used, None))
        job = maker if current and maker in awaited else None
        facts = {"job_id": job, "image_id": None if job else target, "run_id": None}
        references.append(used.reference.model_copy(update=facts))
    return Stale(
        generation=built.generation,
        because=tuple(told),
        references=tuple(references),
        awaited=awaited,
    )
