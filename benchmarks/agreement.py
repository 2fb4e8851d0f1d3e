"""Tables of how far mixmerge's results are from mergekit's."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Cell:
    """One recipe on one architecture; differences as in `benchmarks.difference.Difference`."""

    architecture: str
    recipe: str
    ulp: float = 0.0
    relative: float = 0.0
    far: int = 0
    elements: int = 0
    """Elements that were compared."""
    missing: int = 0
    """Tensors that mergekit wrote and mixmerge did not."""
    extra: int = 0
    """Tensors that mixmerge wrote and mergekit did not."""
    reshaped: int = 0
    other_ids: int = 0
    """Tokens that do not have the same number in both."""
    mergekit: str = ""
    """What mergekit printed last, where it failed."""
    mixmerge: str = ""
    """What mixmerge printed last, where it failed."""
    kept: tuple[float, float] | None = None
    """Of a random recipe: the fractions of elements that mergekit and mixmerge changed."""
    size: tuple[float, float] | None = None
    """Of a random recipe: root mean square of the change, by mergekit and by mixmerge."""
    deviations: float = 0.0
    """Of a random recipe: how many standard errors the two fractions are apart."""

    @property
    def text(self) -> str:
        """The table's entry."""
        failed = [name for name in ("mergekit", "mixmerge") if getattr(self, name)]
        if failed:
            return f"{' and '.join(failed)} refused"
        odd = {
            "tensors more": self.extra,
            "tensors fewer": self.missing,
            "other shapes": self.reshaped,
            "other ids": self.other_ids,
            "far": self.far,
        }
        notes = [f"{count} {what}" for what, count in odd.items() if count]
        return ", ".join([f"{self.ulp:.2g}", *notes])


def markdown(cells: Sequence[Cell]) -> str:
    """Return the tables recipe × architecture, that of the random recipes, and the notes."""
    drawn = {cell.recipe for cell in cells if cell.kept is not None}
    exact = [cell for cell in cells if cell.recipe not in drawn]
    random = [cell for cell in cells if cell.kept is not None]
    parts = [
        _exact([cell for cell in exact if "vocabularies" not in cell.architecture]),
        _exact([cell for cell in exact if "vocabularies" in cell.architecture]),
        _random(random),
        _refusals(cells),
    ]
    return "\n\n".join(part for part in parts if part)


def _exact(cells: Sequence[Cell]) -> str:
    if not cells:
        return ""
    architectures = list(dict.fromkeys(cell.architecture for cell in cells))
    lines = [
        "| recipe | " + " | ".join(architectures) + " | relative to the change |",
        "|---|" + "---:|" * (len(architectures) + 1),
    ]
    for recipe in dict.fromkeys(cell.recipe for cell in cells):
        row = {cell.architecture: cell for cell in cells if cell.recipe == recipe}
        texts = [row[name].text if name in row else "" for name in architectures]
        worst = max(cell.relative for cell in row.values())
        lines.append(f"| {recipe} | " + " | ".join(texts) + f" | {worst:.0e} |")
    return "\n".join(lines)


def _random(cells: Sequence[Cell]) -> str:
    if not cells:
        return ""
    lines = [
        "| recipe | changed: mergekit | mixmerge | standard errors apart | size of the change |",
        "|---|---:|---:|---:|---:|",
    ]
    for recipe in dict.fromkeys(cell.recipe for cell in cells):
        row = [cell for cell in cells if cell.recipe == recipe]
        kept = [cell.kept for cell in row if cell.kept is not None]
        sizes = [ours / theirs for cell in row if cell.size for theirs, ours in [cell.size]]
        columns = (
            _range([theirs for theirs, _ in kept], ".4f"),
            _range([ours for _, ours in kept], ".4f"),
            _range([cell.deviations for cell in row], "+.1f"),
            _range(sizes, ".3f"),
        )
        lines.append(f"| {recipe} | " + " | ".join(columns) + " |")
    return "\n".join(lines)


def _range(values: Sequence[float], form: str) -> str:
    return f"{min(values):{form}} to {max(values):{form}}"


def _refusals(cells: Iterable[Cell]) -> str:
    """Return each distinct refusal once, with where it was met."""
    met: dict[tuple[str, str], list[str]] = {}
    for cell in cells:
        for program in ("mergekit", "mixmerge"):
            printed = getattr(cell, program)
            if printed:
                met.setdefault((program, printed), []).append(
                    f"{cell.recipe} ({cell.architecture})"
                )
    return "\n".join(
        f"- {program}, {where[0]}{f' and {len(where) - 1} more' if where[1:] else ''}: {text}"
        for (program, text), where in met.items()
    )
