"""The graph of a study's steps, as a text tree and as a Mermaid flowchart."""

from collections.abc import Iterator, Mapping

from mixmerge.study.explain import Explained, PlanRow

_MARKS = {"done": "✓", "to do": "○", "out of date": "↻"}
_COLOURS = {"done": "#cde8d0", "to do": "#ffffff", "out of date": "#ffe3b0"}


def tree(plan: Explained) -> str:
    """Return the steps as a tree, each below the last of its inputs.

    Its other inputs follow its name.
    """
    order = {row.step: number for number, row in enumerate(plan.rows)}
    below: dict[str, list[PlanRow]] = {}
    for row in plan.rows:
        above = max(row.parents, key=order.__getitem__, default="")
        below.setdefault(above, []).append(row)
    return "".join(line + "\n" for row in below.get("", []) for line in _branch(row, "", below))


def _branch(row: PlanRow, above: str, below: Mapping[str, list[PlanRow]]) -> Iterator[str]:
    others = [parent for parent in row.parents if parent != above]
    listed = ", ".join(others) if len(others) <= 3 else f"{len(others)} others"
    yield f"{_MARKS[row.state]} {row.step}" + (f"  (and {listed})" if above and others else "")
    children = below.get(row.step, [])
    for child in children:
        last = child is children[-1]
        for number, line in enumerate(_branch(child, row.step, below)):
            lead = ("└─ " if last else "├─ ") if number == 0 else ("   " if last else "│  ")
            yield lead + line


def mermaid(plan: Explained) -> str:
    """Return the graph as a Mermaid flowchart, coloured by state.

    Only the report's edge from the results is drawn, although it depends on every step.
    """
    names = {row.step: f"s{number}" for number, row in enumerate(plan.rows)}
    lines = ["flowchart LR"]
    for row in plan.rows:
        style = row.state.replace(" ", "_")
        lines.append(f'  {names[row.step]}["{row.step}"]:::{style}')
    for row in plan.rows:
        drawn = [p for p in row.parents if p.startswith("results/")] or list(row.parents)
        parents = drawn if row.step.startswith("report/") else list(row.parents)
        lines += [f"  {names[parent]} --> {names[row.step]}" for parent in parents]
    for state, colour in _COLOURS.items():
        lines.append(f"  classDef {state.replace(' ', '_')} fill:{colour},stroke:#555,color:#000")
    return "\n".join(lines) + "\n"
