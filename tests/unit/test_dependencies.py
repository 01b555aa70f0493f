"""Orders of what is made from what, circles and all."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from services.library.dependencies import ordered, reached

NAMES = [UUID(int=number) for number in range(8)]
EDGES = st.dictionaries(st.sampled_from(NAMES), st.sets(st.sampled_from(NAMES)))


def test_a_line_is_ordered_from_its_source() -> None:
    one, two, three = NAMES[:3]

    assert ordered([three, two, one], {three: {two}, two: {one}}) == [one, two, three]


def test_the_older_of_two_that_are_free_comes_first() -> None:
    assert ordered(NAMES, {}) == NAMES


def test_a_circle_begins_with_its_oldest() -> None:
    one, two, three = NAMES[:3]

    assert ordered([two, one, three], {one: {two}, two: {one}, three: {one}}) == [two, one, three]


@given(EDGES)
def test_each_comes_once_and_after_its_sources_unless_in_a_circle(
    edges: dict[UUID, set[UUID]],
) -> None:
    order = ordered(NAMES, edges)

    assert sorted(order) == NAMES
    for name in NAMES:
        for maker in edges.get(name, ()):
            circle = maker in reached({name}, edges)
            assert circle or order.index(maker) < order.index(name)


@given(EDGES, st.sets(st.sampled_from(NAMES)))
def test_what_is_reached_has_a_source_that_is(
    edges: dict[UUID, set[UUID]], sources: set[UUID]
) -> None:
    found = reached(sources, edges)

    assert sources <= found
    assert all(edges[name] & found for name in found - sources)
    assert not any(edges.get(name, set()) & found for name in set(NAMES) - found)
