"""Things and what each is made from -> what follows from what, and in which order. Pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush
from uuid import UUID

Edges = Mapping[UUID, set[UUID]]  #: each -> what it is made from


def reached(sources: Iterable[UUID], edges: Edges) -> set[UUID]:
    """`sources`, and all that are made from them, directly or not."""
    return _closed(sources, _users(edges))


def ordered(oldest_first: Sequence[UUID], edges: Edges) -> list[UUID]:
    """Kahn's algorithm, the oldest first; a circle begins with its oldest."""
    age = {name: place for place, name in enumerate(oldest_first)}
    waits = {name: edges.get(name, set()) & age.keys() for name in oldest_first}
    users = _users(waits)
    free = [age[name] for name in oldest_first if not waits[name]]
    heapify(free)
    placed: dict[UUID, None] = {}
    while waits:
        name = oldest_first[heappop(free)] if free else _first_of_a_circle(waits, age)
        placed[name] = None
        del waits[name]
        for user in users.get(name, ()):
            if user in waits:
                waits[user].discard(name)
                if not waits[user]:
                    heappush(free, age[user])
    return list(placed)


def _first_of_a_circle(waits: Edges, age: Mapping[UUID, int]) -> UUID:
    """Of one that waits for nothing but itself: what only follows from a circle is not in it."""
    name = min(waits, key=age.__getitem__)
    while True:
        circle = _closed(waits[name], waits)
        outside = (each for each in circle if name not in _closed(waits[each], waits))
        if (further := min(outside, key=age.__getitem__, default=None)) is None:
            return min(circle, key=age.__getitem__)
        name = further


def _closed(sources: Iterable[UUID], edges: Mapping[UUID, Collection[UUID]]) -> set[UUID]:
    """All that can be come to from `sources`, and they."""
    found = set(sources)
    ahead = list(found)
    while ahead:
        new = set(edges.get(ahead.pop(), ())) - found
        found |= new
        ahead += new
    return found


def _users(edges: Edges) -> dict[UUID, list[UUID]]:
    users: dict[UUID, list[UUID]] = {}
    for name, makers in edges.items():
        for maker in makers:
            users.setdefault(maker, []).append(name)
    return users
