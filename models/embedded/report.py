"""Checked prompts in, a page of figures out."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from models.embedded.findings import Check

#: What the model is to reach: kind, aspect, percent.
GOALS = (
    ("single", "background", 95), ("single", "colour", 95), ("single", "place", 92),
    ("single", "shape", 90), ("single", "size", None), ("single", "style", None),
    ("pair", "background", 95), ("pair", "colour", None), ("pair", "shape", None),
    ("pair", "relation", None), ("pair", "all", 80), ("scene", "element", 80),
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One prompt and what was found of it."""

    kind: str
    held_out: bool
    text: str
    checks: tuple[Check, ...]


def write_report(out: Path, rows: list[Row], facts: str, costs: dict[str, float],
                 machine: str) -> None:  # fmt: skip
    """Write `embedded-evaluation.md`: the figures, the prompts of each grid, the costs."""
    lines = [
        "# Evaluation of the embedded model", "",
        f"{len(rows)} prompts, {sum(row.held_out for row in rows)} of them held out; {facts}.",
        "Made by `python -m models.embedded.evaluate`.", "",
        "| kind | aspect | goal | all | seen | held out |",
        "| --- | --- | --- | --- | --- | --- |",
    ]  # fmt: skip
    for kind, aspect, goal in GOALS:
        seen = share(rows, kind, aspect, lambda row: not row.held_out)
        held = share(rows, kind, aspect, lambda row: row.held_out)
        every = share(rows, kind, aspect, lambda row: True)
        wanted = f"{goal} %" if goal else ""
        lines.append(f"| {kind} | {aspect} | {wanted} | {every} | {seen} | {held} |")
    lines += ["", f"CPU-seconds for 256 x 256 on one thread ({machine}):"]
    lines += [f"{tier} {seconds:.2f}" for tier, seconds in costs.items()]
    for kind in dict.fromkeys(row.kind for row in rows):
        lines += ["", f"![{kind}](images/embedded-{kind}.png)", "", "Row by row:", ""]
        shown = [row for row in rows if row.kind == kind][:24]
        lines += [f"{index + 1}. {row.text}" for index, row in enumerate(shown)]
    (out / "embedded-evaluation.md").write_text("\n".join(lines) + "\n")


def share(rows: list[Row], kind: str, aspect: str, wanted: Callable[[Row], bool]) -> str:
    """Return how many of the checks hold, in percent; `all` counts prompts with none wrong."""
    chosen = [row for row in rows if row.kind == kind and wanted(row)]
    if aspect == "all":
        rights = [all(check.right for check in row.checks) for row in chosen]
    else:
        rights = [check.right for row in chosen for check in row.checks if check.aspect == aspect]
    return f"{100 * sum(rights) / len(rights):.1f} %" if rights else "-"
