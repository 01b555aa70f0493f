"""What is out of date and why, without a database."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from schemas.jobs import PresetVersion, Reference
from services.library.staleness import Because, Built, Kind, Stale, Today, Used, stale

START = datetime(2026, 11, 21, tzinfo=UTC)
HERO = "@hero"
OLD, NEW = "0" * 64, "1" * 64


def generation(number: int) -> UUID:
    return UUID(int=1000 + number)


def image(number: int, run: int = 1) -> UUID:
    """Of generation `number`'s run."""
    return UUID(int=100_000 * run + number)


def built(number: int, *used: Used, **facts: object) -> Built:
    defaults = {
        "generation": generation(number),
        "created_at": START + timedelta(seconds=number),
        "model": "tiny",
        "used": used,
    }
    return Built.model_validate(defaults | facts)


def used(picture: UUID, alias: str | None = None) -> Used:
    return Used(reference=Reference(image_id=picture, alias=alias), image_id=picture)


def today(*outputs: Built, **facts: object) -> Today:
    """Each has made the picture `image(n)` from what it used, and shows it still."""
    numbers = {each: each.generation.int - 1000 for each in outputs}
    origins = {
        image(number): tuple(found.image_id for found in each.used)
        for each, number in numbers.items()
    }
    makers = {image(number): each.generation for each, number in numbers.items()}
    defaults = {"origins": origins, "makers": makers, "newest": {made: made for made in makers}}
    return Today.model_validate(defaults | facts)


def anew(world: Today, number: int, *origins: UUID) -> Today:
    """Generation `number` has made another picture in the place of its first."""
    later = image(number, run=2)
    return world.model_copy(
        update={
            "makers": world.makers | {later: generation(number)},
            "newest": world.newest | {image(number): later, later: later},
            "origins": world.origins | {later: origins},
        }
    )


def names(found: tuple[Stale, ...]) -> list[UUID]:
    return [each.generation for each in found]


def test_what_is_as_it_was_is_not_stale() -> None:
    outputs = built(1), built(2, used(image(1))), built(3, used(image(2), HERO))

    assert stale(outputs, today(*outputs, leads={HERO: image(2)}, models={"tiny": OLD})) == ()


def test_nothing_is_stale_in_nothing() -> None:
    assert stale((), Today()) == ()


def test_a_name_that_leads_nowhere_leaves_the_place_of_its_picture() -> None:
    outputs = built(1), built(2, used(image(1), HERO))
    world = anew(today(*outputs), 1)

    (found,) = stale(outputs, world)

    assert found.generation == generation(2)
    assert [reference.image_id for reference in found.references] == [image(1, run=2)]


def test_an_alias_that_leads_elsewhere_outdates_what_was_made_from_it() -> None:
    first, other, user = built(1), built(2), built(3, used(image(1), HERO))

    (found,) = stale((first, other, user), today(first, other, user, leads={HERO: image(2)}))

    assert found.generation == generation(3)
    assert found.because == (
        Because(kind=Kind.ALIAS, name=HERO, was=str(image(1)), now=str(image(2))),
    )
    assert found.references == (Reference(image_id=image(2), alias=HERO),)
    assert found.awaited == frozenset()


def test_an_alias_that_leads_nowhere_outdates_nothing() -> None:
    user = built(3, used(image(1), HERO))

    assert stale((user,), today(user)) == ()


def test_a_picture_that_was_made_anew_outdates_what_was_made_from_the_old_one() -> None:
    maker, user = built(1), built(2, used(image(1)))

    (found,) = stale((maker, user), anew(today(maker, user), 1))

    assert found.generation == generation(2)
    later = image(1, run=2)
    assert found.because == (
        Because(kind=Kind.REFERENCE, name=str(image(1)), was=str(image(1)), now=str(later)),
    )
    assert found.references == (Reference(image_id=later),)


def test_an_alias_that_stays_on_the_old_picture_keeps_it() -> None:
    maker, user = built(1), built(2, used(image(1), HERO))

    world = anew(today(maker, user, leads={HERO: image(1)}), 1)

    assert stale((maker, user), world) == ()


def test_other_files_of_the_model_outdate_its_pictures() -> None:
    outputs = built(1, model_sha256=OLD), built(2, model_sha256=NEW), built(3)

    (found,) = stale(outputs, today(*outputs, models={"tiny": NEW}))

    assert found.generation == generation(1)
    assert found.because == (Because(kind=Kind.MODEL, name="tiny", was=OLD, now=NEW),)


def test_a_newer_version_of_its_preset_outdates_a_picture() -> None:
    preset = PresetVersion(slug="poster", version=2)
    outputs = built(1, preset=preset), built(2)

    (found,) = stale(outputs, today(*outputs, presets={"poster": 3}))

    assert found.because == (Because(kind=Kind.PRESET, name="poster", was="2", now="3"),)


def test_what_is_made_from_something_stale_is_stale_too_and_waits_for_it() -> None:
    first, second, third = (
        built(1, model_sha256=OLD),
        built(2, used(image(1), HERO)),
        built(3, used(image(2))),
    )
    outputs = third, second, first

    found = stale(outputs, today(*outputs, leads={HERO: image(1)}, models={"tiny": NEW}))

    assert names(found) == [generation(1), generation(2), generation(3)]
    assert found[1].because == (Because(kind=Kind.ALIAS, name=HERO, was=str(image(1)), now=None),)
    assert found[2].because == (
        Because(kind=Kind.REFERENCE, name=str(image(2)), was=str(image(2)), now=None),
    )
    assert [each.awaited for each in found] == [
        frozenset(),
        {generation(1)},
        {generation(2)},
    ]
    assert found[1].references == (Reference(job_id=generation(1), alias=HERO),)


def test_a_name_that_moves_along_a_chain_outdates_nothing_of_it() -> None:
    outputs = built(1), built(2, used(image(1), HERO)), built(3, used(image(2), HERO))

    assert stale(outputs, today(*outputs, leads={HERO: image(3)})) == ()


def test_a_fork_from_an_earlier_picture_of_the_chain_is_stale() -> None:
    chain = built(1), built(2, used(image(1), HERO)), built(3, used(image(1), HERO))

    found = stale(chain, today(*chain, leads={HERO: image(3)}))

    assert names(found) == [generation(2)]
    assert found[0].references == (Reference(image_id=image(3), alias=HERO),)


def test_last_is_a_moment_and_no_thing_that_could_change() -> None:
    outputs = built(1), built(2), built(3, used(image(1), "@last"))

    assert stale(outputs, today(*outputs, leads={"@last": image(2)})) == ()


def test_what_is_made_from_an_old_picture_does_not_wait_for_its_maker() -> None:
    """The maker's newer picture came from this very output: it stays with the old one."""
    maker, user = built(1, model_sha256=OLD), built(2, used(image(1)), model_sha256=OLD)
    world = anew(today(maker, user, models={"tiny": NEW}), 1, image(2))

    found = stale((maker, user), world)

    assert names(found) == [generation(1), generation(2)]
    assert found[1].awaited == frozenset()
    assert found[1].references == (Reference(image_id=image(1)),)


def test_a_circle_is_begun_with_its_oldest_which_waits_for_none_of_it() -> None:
    """Two moved names: each is to be made from the other's picture."""
    outputs = built(1, used(image(8), "@b")), built(2, used(image(9), "@a"))
    world = today(*outputs, leads={"@a": image(1), "@b": image(2)})

    found = stale(outputs, world)

    assert names(found) == [generation(1), generation(2)]
    assert [each.awaited for each in found] == [frozenset(), {generation(1)}]
    assert found[0].references == (Reference(image_id=image(2), alias="@b"),)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[Built], Today]:
    """Up to seven generations; names and newer pictures lead anywhere, in circles too."""
    count = draw(st.integers(1, 7))
    aliases = ["@a", "@b", "@c", "@last", None]
    pictures = st.builds(image, st.integers(0, count), st.integers(1, 2))
    outputs = []
    for number in range(count):
        uses = draw(st.lists(st.builds(used, pictures, st.sampled_from(aliases)), max_size=3))
        sha256 = draw(st.sampled_from([OLD, NEW, None]))
        outputs.append(built(number, *uses, model_sha256=sha256))
    world = today(*outputs, models={"tiny": NEW})
    for number in draw(st.sets(st.integers(0, count - 1))):
        world = anew(world, number, *draw(st.lists(pictures, max_size=2)))
    leads = draw(st.dictionaries(st.sampled_from(aliases[:-1]), pictures))
    return draw(st.permutations(outputs)), world.model_copy(update={"leads": leads})


@given(worlds())
def test_in_any_world_the_order_holds_and_every_reason_is_one(
    world: tuple[list[Built], Today],
) -> None:
    outputs, day = world

    found = stale(outputs, day)

    assert len(set(names(found))) == len(found)
    before: set[UUID] = set()
    for each in found:
        assert each.because
        assert each.awaited <= before, "what it waits for was begun before it"
        assert all(reason.was != reason.now for reason in each.because)
        jobs = {reference.job_id for reference in each.references if reference.job_id}
        assert jobs == each.awaited
        before.add(each.generation)


@given(worlds())
def test_the_order_in_which_they_are_read_does_not_matter(
    world: tuple[list[Built], Today],
) -> None:
    outputs, day = world

    assert stale(outputs, day) == stale(sorted(outputs, key=lambda each: each.created_at), day)


@given(worlds())
def test_a_refresh_leaves_nothing_that_a_second_one_could_mend_for_ever(
    world: tuple[list[Built], Today],
) -> None:
    """Made anew as said, again and again, everything is up to date before long."""
    outputs, day = world
    rounds = 0

    while found := stale(outputs, day):
        outputs, day = refreshed(outputs, day, found, run=rounds + 3)
        rounds += 1
        assert rounds <= len(outputs) + 2


def refreshed(
    outputs: list[Built], day: Today, found: tuple[Stale, ...], run: int
) -> tuple[list[Built], Today]:
    shown = {day.makers[picture]: picture for picture in day.newest.values()}
    known = {each.generation: each for each in outputs}
    for each in found:
        uses = [
            used(shown[reference.job_id] if reference.job_id else picture_of(reference), name)
            for reference in each.references
            for name in (reference.alias,)
        ]
        made = UUID(int=each.generation.int + run * 1_000_000)
        earlier = {
            old: made for old, new in day.newest.items() if day.makers[new] == each.generation
        }
        held = {name: made for name, lead in day.leads.items() if lead == shown[each.generation]}
        day = day.model_copy(
            update={
                "makers": day.makers | {made: each.generation},
                "newest": day.newest | earlier | {made: made},
                "origins": day.origins | {made: tuple(found.image_id for found in uses)},
                "leads": day.leads | held,
            }
        )
        shown[each.generation] = made
        changed = {"used": tuple(uses), "model_sha256": NEW}
        known[each.generation] = known[each.generation].model_copy(update=changed)
    return list(known.values()), day


def picture_of(reference: Reference) -> UUID:
    assert reference.image_id is not None
    return reference.image_id
