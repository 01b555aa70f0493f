"""Wishes for drafts -> the same, and after all of them their finals. Pure.

A final has its draft's seed and size, so it starts from the same noise: the engine draws that from
the seed alone. It waits for its draft's run, and whatever ends that well or badly decides it.
"""

from collections.abc import Sequence
from typing import Final

import uuid_utils.compat

from schemas.jobs import Lane, Tier
from services.admission import Wish

FINAL_TIER: Final = Tier.HIGH


def with_finals(drafts: Sequence[Wish]) -> tuple[Wish, ...]:
    """`drafts` have their ids and seeds; each gets its final's, which is there from the start.

    Drafts are seen by people who wait, so they go before what other batches are to make well.
    """
    linked = [
        draft.model_copy(update={"final_job_id": uuid_utils.compat.uuid7(), "lane": Lane.STANDARD})
        for draft in drafts
    ]
    return (*linked, *map(_final_of, linked))


def _final_of(draft: Wish) -> Wish:
    assert draft.job_id is not None, "a draft's id is known before it is admitted"
    spec = draft.spec.model_copy(update={"tier": FINAL_TIER, "draft_job_id": draft.job_id})
    told = {
        "job_id": draft.final_job_id,
        "final_job_id": None,
        "spec": spec,
        "lane": Lane.BATCH,
        "is_draft": False,
        "after": (draft.job_id,),  # a first run has its job's id
    }
    return draft.model_copy(update=told)
