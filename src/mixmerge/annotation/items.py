"""Who gets which items, and in which order: practice, items, and attention checks among them."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from mixmerge.annotation.task import Choice, KeyItem, choices
from mixmerge.errors import DataError, SpecError
from mixmerge.evaluation.calibration.material import Material
from mixmerge.records import Axis, RowModel

_CHECK_EVERY = 15
_CHECK = (
    "This is an attention check, not an answer of a model. Please choose “{choice}”; "
    "whatever else you think, choose nothing else."
)


class ExtraItem(RowModel):
    """A line of ``--practice``: an item with a known choice."""

    kind: Literal["practice", "check"] = "practice"
    """``practice`` comes first and shows whether the choice was right; a ``check`` is hidden among
    the items."""
    axis: Axis
    language: str = "en"
    prompt: str
    answer: str
    """Answer A of a comparison."""
    other: str | None = None
    """Answer B of a comparison."""
    choice: Choice
    why: str = ""
    """Shown after a practice item."""

    def item(self) -> KeyItem:
        """Return the item, without its place on a page."""
        return KeyItem(
            id="",
            annotator="",
            kind=self.kind,
            axis=self.axis,
            language=self.language,
            text=self.prompt,
            answer=self.answer,
            base_answer=self.other,
            expected=self.choice,
            why=self.why,
        )


def assigned(
    items: Sequence[KeyItem],
    annotators: Mapping[str, tuple[str, ...]],
    shares: Sequence[int],
    rng: np.random.Generator,
) -> dict[str, list[KeyItem]]:
    """Give each item to so many of those who read its language, first to those with the fewest.

    Raises:
        SpecError: nobody reads a language.
    """
    given: dict[str, list[KeyItem]] = {name: [] for name in annotators}
    for place in rng.permutation(len(items)):
        item = items[place]
        able = [name for name, own in annotators.items() if not own or item.language in own]
        if not able:
            raise SpecError(
                f"nobody reads {item.language} (axis {item.axis}). Add someone with "
                f"`--annotator NAME={item.language}`, or choose languages with --language."
            )
        able = [able[i] for i in rng.permutation(len(able))]
        able.sort(key=lambda name: len(given[name]))
        for name in able[: shares[place]]:
            given[name].append(item)
    return given


def on_page(
    name: str,
    mine: Sequence[KeyItem],
    extra: Sequence[KeyItem],
    materials: Sequence[Material],
    rng: np.random.Generator,
) -> list[KeyItem]:
    """Return an annotator's items: practice, then items with random order and sides.

    An attention check is hidden among every `_CHECK_EVERY` items, never before the first.
    """
    checks = [row for row in extra if row.kind == "check"]
    checks = checks or [_instructed(material, rng) for material in materials]
    hidden: list[KeyItem] = []
    order = [mine[place] for place in rng.permutation(len(mine))]
    for number, start in enumerate(range(0, len(order), _CHECK_EVERY)):
        part = [
            row.model_copy(
                update={"base_first": row.base_answer is not None and rng.random() < 0.5}
            )
            for row in order[start : start + _CHECK_EVERY]
        ]
        # After an item of its own part: neither first nor next to another check.
        part.insert(int(rng.integers(1, len(part) + 1)), checks[number % len(checks)])
        hidden += part
    practice = [row for row in extra if row.kind == "practice"]
    return [
        row.model_copy(update={"id": f"{number:04d}", "annotator": name})
        for number, row in enumerate([*practice, *hidden], 1)
    ]


def _instructed(material: Material, rng: np.random.Generator) -> KeyItem:
    """Return an attention check that says what to choose, at random."""
    words = {key: said for key, said in choices(material.question).items() if key != "cannot"}
    key = list(words)[rng.integers(len(words))]
    text = _CHECK.format(choice=words[key])
    other = "…" if material.compares else None
    return ExtraItem(
        kind="check", axis=material.axis, prompt=text, answer="…", other=other, choice=key
    ).item()


def check_extra(materials: Sequence[Material], extra: Sequence[ExtraItem]) -> None:
    """Refuse items that do not fit their axis.

    Raises:
        DataError: an axis is unknown, or a choice or the number of answers is not the axis's.
    """
    known = {material.axis: material for material in materials}
    for number, row in enumerate(extra, 1):
        where = f"--practice, item {number}"
        if row.axis not in known:
            raise DataError(f"{where}: the axis {row.axis!r} is not one of {', '.join(known)}.")
        allowed = choices(known[row.axis].question)
        if row.choice not in allowed or (row.other is None) == known[row.axis].compares:
            raise DataError(
                f"{where}: `choice` must be one of {', '.join(allowed)}, and `other` belongs to "
                f"comparisons only (seen: {row.choice}, {'no ' * (row.other is None)}`other`)."
            )
