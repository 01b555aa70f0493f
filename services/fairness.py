"""Who is next: self-clocked fair queuing between projects within a lane, with weights and caps.

Golestani, "A self-clocked fair queueing scheme for broadband applications", INFOCOM 1994. Costs
are megapixel-steps; a project of weight 2 gets twice as many of them a second as one of weight 1.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from time import monotonic
from typing import Annotated, Final
from uuid import UUID

from pydantic import Field
from pymongo import ASCENDING, DESCENDING, ReturnDocument

from schemas.common import ProjectId, Value
from schemas.jobs import GenerationSpec
from schemas.queue import QueueRow, RowState
from services.engine.catalogue import Catalogue
from services.errors import UnknownModel
from services.mongo import Mongo

UNKNOWN_STEPS: Final = 20
CAPS_FOR: Final = 5.0  #: seconds that the list of caps is good for


class Share(Value):
    """What a project gets of the GPUs; the document in `tenants`."""

    project: ProjectId = Field(alias="_id")
    weight: Annotated[float, Field(gt=0, le=1000)] = 1.0
    cap: Annotated[int, Field(ge=1)] | None = None  #: leases at once
    last: dict[str, float] = Field(default_factory=dict)  #: lane -> its latest finish tag


class Fairness:
    def __init__(self, mongo: Mongo, catalogue: Catalogue) -> None:
        self._rows = mongo.queue
        self._tenants = mongo.tenants
        self._catalogue = catalogue
        self._caps: dict[str, int] = {}
        self._caps_read_at = float("-inf")

    async def tag(self, rows: Sequence[QueueRow]) -> list[QueueRow]:
        """The rows with their virtual finish times; rows that are in the queue cost nothing."""
        lanes = {row.lane for row in rows}
        known, clocks = await asyncio.gather(
            self._known(rows), asyncio.gather(*(self._clock(lane) for lane in lanes))
        )
        clock = dict(zip(lanes, clocks, strict=True))
        chains: dict[tuple[str, int], list[QueueRow]] = defaultdict(list)
        for row in rows:
            if row.id not in known:
                chains[row.project, row.lane].append(row)
        tagged: dict[UUID, QueueRow] = {row.id: row for row in rows}
        for (project, lane), chain in chains.items():
            for row in await self._chain(project, lane, clock[lane], chain):
                tagged[row.id] = row
        return list(tagged.values())

    async def is_next(self, row: QueueRow) -> bool:
        """Whether a new row would be claimed at once: nothing as urgent is there and due."""
        before = {
            "state": RowState.READY,
            "lane": {"$lte": row.lane},
            "$expr": {"$lte": ["$due", "$$NOW"]},
        }
        caps, found = await asyncio.gather(
            self.caps(), self._rows.find_one(before, {"_id": 0, "lane": 1})
        )
        return row.project not in caps and found is None

    async def charge(self, row: QueueRow) -> None:
        """The project of a row that is served already pays for it as for any other."""
        tagged = await self.retag(row)
        await self._rows.update_one({"_id": row.id}, {"$set": {"vft": tagged.vft}})

    async def retag(self, row: QueueRow) -> QueueRow:
        """A tag as for a newcomer, for a row that changes its lane."""
        (tagged,) = await self._chain(row.project, row.lane, await self._clock(row.lane), [row])
        return tagged

    async def caps(self) -> dict[str, int]:
        """The projects that may hold only so many leases at once."""
        if monotonic() - self._caps_read_at > CAPS_FOR:
            found = self._tenants.find({"cap": {"$gt": 0}}, {"cap": 1})
            self._caps = {tenant["_id"]: tenant["cap"] async for tenant in found}
            self._caps_read_at = monotonic()
        return self._caps

    async def leases(self, project: str) -> int:
        return await self._rows.count_documents({"project": project, "state": RowState.LEASED})

    async def share(self, project: str) -> Share:
        found = await self._tenants.find_one({"_id": project})
        return Share.model_validate(found or {"_id": project})

    async def shares(self) -> list[Share]:
        found = self._tenants.find().sort("_id", ASCENDING)
        return [Share.model_validate(tenant) async for tenant in found]

    async def set_share(self, project: str, weight: float, cap: int | None) -> Share:
        share = Share(project=project, weight=weight, cap=cap)
        await self._tenants.update_one(
            {"_id": project}, {"$set": {"weight": share.weight, "cap": share.cap}}, upsert=True
        )
        return await self.share(project)

    def cost(self, spec: GenerationSpec) -> float:
        """Megapixel-steps, the same on every machine."""
        steps = spec.num_inference_steps or self._steps(spec)
        return steps * spec.num_images * spec.width * spec.height / 1e6

    def _cost_of(self, row: QueueRow) -> float:
        return self.cost(row.spec) if row.spec else 0.0

    def _steps(self, spec: GenerationSpec) -> int:
        try:
            return self._catalogue.find(spec.model).tiers[spec.tier].num_inference_steps
        except UnknownModel:  # taken out of the catalogue since: the engine will say so
            return UNKNOWN_STEPS

    async def _known(self, rows: Sequence[QueueRow]) -> set[UUID]:
        """A command that is read again does not move its project back."""
        found = self._rows.find({"_id": {"$in": [row.id for row in rows]}}, {"_id": 1})
        return {row["_id"] async for row in found}

    async def _clock(self, lane: int) -> float:
        """Virtual time: what was served last, but never past what is next."""
        head, latest = await asyncio.gather(self._head(lane), self._served(lane))
        return latest if head is None else min(head, latest)

    async def _head(self, lane: int) -> float | None:
        """Without those that have no tag: their worker died before it charged their project."""
        ready = {"lane": lane, "state": RowState.READY, "vft": {"$gt": 0}}
        return await self._vft(ready, ASCENDING)

    async def _served(self, lane: int) -> float:
        served = {"lane": lane, "attempt": {"$gt": 0}}
        leased, done = await asyncio.gather(
            self._vft({**served, "state": RowState.LEASED}, DESCENDING),
            self._vft({**served, "state": RowState.DONE}, DESCENDING),
        )
        return max(leased or 0.0, done or 0.0)

    async def _vft(self, chosen: dict[str, object], direction: int) -> float | None:
        row = await self._rows.find_one(chosen, {"vft": 1}, sort=[("vft", direction)])
        return None if row is None else float(row["vft"])

    async def _chain(
        self, project: str, lane: int, clock: float, rows: Sequence[QueueRow]
    ) -> list[QueueRow]:
        """Tags one behind the other, from the project's last one or from now."""
        costs = [self._cost_of(row) for row in rows]
        weight = {"$ifNull": ["$weight", 1.0]}
        begin = {"$max": [{"$ifNull": [f"$last.{lane}", 0.0]}, clock]}
        document = await self._tenants.find_one_and_update(
            {"_id": project},
            [{"$set": {f"last.{lane}": {"$add": [begin, {"$divide": [sum(costs), weight]}]}}}],
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        share = Share.model_validate(document)
        finish = share.last[str(lane)] - sum(costs) / share.weight
        tagged = []
        for row, cost in zip(rows, costs, strict=True):
            finish += cost / share.weight
            tagged.append(row.model_copy(update={"vft": finish}))
        return tagged
