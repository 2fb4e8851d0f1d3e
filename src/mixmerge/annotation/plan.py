"""Make a task folder: what is drawn, who gets it in which order, and the pages."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from mixmerge.annotation.draw import Judged, Stratum, allocate, answers_to, half_width, strata
from mixmerge.annotation.exchange import FORMATS
from mixmerge.annotation.page import write_page
from mixmerge.annotation.task import (
    DRAWN,
    KEY,
    PAGES,
    TASK,
    Choice,
    KeyItem,
    TaskPlan,
    choices,
)
from mixmerge.errors import DataError, SpecError
from mixmerge.evaluation.calibration.labels import Drawn
from mixmerge.evaluation.calibration.material import Material
from mixmerge.files import whole_folder, write_json, write_rows, write_text
from mixmerge.fingerprint import fingerprint
from mixmerge.records import Axis, Message, Prompt, RowModel
from mixmerge.spec_model import unknown_name

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


@dataclass(frozen=True)
class Request:
    """What to draw, and for whom."""

    annotators: Mapping[str, tuple[str, ...]]
    """The languages that each annotator reads; empty for all."""
    labels: int | None = None
    """Choices to ask for, all annotators together, without practice and checks; None for all."""
    overlap: float = 0.2
    """Share of the items that several annotators get: three of them, or both of two."""
    languages: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    seed: int = 0
    extra: Sequence[ExtraItem] = ()
    guidelines: str = ""
    to: Sequence[str] = ()
    """Tools of `mixmerge.annotation.exchange.FORMATS` to write the items for, too."""
    judged: Mapping[Axis, Judged] = field(default_factory=dict)


def make_task(materials: Sequence[Material], request: Request, out: Path, run: str) -> TaskPlan:
    """Draw the items and write the task folder.

    Raises:
        SpecError: there are too few labels, or nobody reads a language.
        DataError: the folder has labels already, or a practice item does not fit its axis.
    """
    if (out / TASK).exists():
        raise DataError(
            f"{out}: is a task folder already, perhaps with labels. Give another folder."
        )
    _check_extra(materials, request.extra)
    asked = [_spoken(material, request.languages) for material in materials]
    raters = min(3, len(request.annotators))
    each = 1 + request.overlap * (raters - 1)
    found, counts = _allocated(asked, request, request.labels and request.labels / each)
    rng = np.random.default_rng(request.seed)
    drawn = [
        (stratum.axis, stratum.prompts[place])
        for stratum, count in zip(found, counts, strict=True)
        for place in rng.permutation(len(stratum.prompts))[:count]
    ]
    items = [item for axis, prompt in drawn for item in _items(materials, axis, prompt)]
    given = _assigned(items, request, raters, rng)
    key = {name: _page_items(name, mine, materials, request, rng) for name, mine in given.items()}
    rows = [item for mine in key.values() for item in mine]
    plan = TaskPlan(
        task=fingerprint([run, [item.model_dump(mode="json") for item in rows]])[:16],
        run=run,
        seed=request.seed,
        models=request.models,
        languages=request.languages,
        annotators=dict(request.annotators),
        strata=[one.planned(count) for one, count in zip(found, counts, strict=True)],
        assumed={m.axis: request.judged.get(m.axis, Judged()).source for m in materials},
        expected_half_width=half_width(found, counts),
    )
    by_prompt = [
        {prompt.id: one.name for one in found if one.axis == each.axis for prompt in one.prompts}
        for each in materials
    ]
    with whole_folder(out) as folder:
        write_rows(folder / KEY, rows)
        write_rows(
            folder / DRAWN,
            (
                Drawn(axis=each.axis, prompt=prompt.id, stratum=names.get(prompt.id, "not drawn"))
                for each, names in zip(materials, by_prompt, strict=True)
                for prompt in each.prompts
            ),
        )
        for name, mine in key.items():
            page = folder / PAGES / name / "index.html"
            write_page(page, plan.task, name, mine, materials, request.guidelines)
        for tool in request.to:
            _export(folder / tool, tool, key, materials)
        write_json(folder / TASK, plan.model_dump(mode="json"))
    return plan


def _export(
    folder: Path, tool: str, key: Mapping[str, Sequence[KeyItem]], materials: Sequence[Material]
) -> None:
    """Write the items for a tool, without practice, to which it gives no feedback."""
    questions = {material.axis: material.question for material in materials}
    for name, mine in key.items():
        items = [item for item in mine if item.kind != "practice"]
        write_json(folder / f"{name}.json", FORMATS[tool].records(items, questions))
    for name, text in FORMATS[tool].settings(questions).items():
        write_text(folder / name, text)


def _spoken(material: Material, languages: Sequence[str]) -> Material:
    """Return the material with the prompts in some languages; in all without any.

    Raises:
        SpecError: there is no prompt in a language.
    """
    known = list(dict.fromkeys(prompt.language for prompt in material.prompts))
    for language in languages:
        if language not in known:
            raise SpecError(f"--language: {unknown_name(language, 'languages', known)}")
    prompts = [each for each in material.prompts if each.language in (languages or known)]
    return replace(material, prompts=prompts)


def _allocated(
    materials: Sequence[Material], request: Request, labels: float | None
) -> tuple[list[Stratum], list[int]]:
    """Return strata and prompts to draw: by language and verdict, or by verdict if few."""
    judged = {m.axis: request.judged.get(m.axis, Judged()) for m in materials}
    fine = [one for m in materials for one in strata(m, judged[m.axis])]
    try:
        return fine, allocate(fine, labels)
    except SpecError:
        coarse = [one for m in materials for one in strata(m, judged[m.axis], by_language=False)]
        return coarse, allocate(coarse, labels)


def _items(materials: Sequence[Material], axis: Axis, prompt: Prompt) -> Iterable[KeyItem]:
    material = next(each for each in materials if each.axis == axis)
    for (answer, base), models in answers_to(material, prompt.id).items():
        yield KeyItem(
            id="",
            annotator="",
            axis=axis,
            language=prompt.language,
            text=prompt_shown(prompt.messages),
            answer=answer,
            base_answer=base if material.compares else None,
            prompt=prompt.id,
            models=tuple(models),
        )


def _assigned(
    items: Sequence[KeyItem], request: Request, raters: int, rng: np.random.Generator
) -> dict[str, list[KeyItem]]:
    """Give each item to those with the fewest who read its language; a share to several."""
    given: dict[str, list[KeyItem]] = {name: [] for name in request.annotators}
    several = set(rng.permutation(len(items))[: round(request.overlap * len(items))].tolist())
    for place in rng.permutation(len(items)):
        item = items[place]
        able = [
            name
            for name, languages in request.annotators.items()
            if not languages or item.language in languages
        ]
        if not able:
            raise SpecError(
                f"nobody reads {item.language} (axis {item.axis}). Add someone with "
                f"`--annotator NAME={item.language}`, or choose languages with --language."
            )
        able = [able[i] for i in rng.permutation(len(able))]
        able.sort(key=lambda name: len(given[name]))
        for name in able[: raters if place in several else 1]:
            given[name].append(item)
    return given


def _page_items(
    name: str,
    mine: Sequence[KeyItem],
    materials: Sequence[Material],
    request: Request,
    rng: np.random.Generator,
) -> list[KeyItem]:
    """Return an annotator's items: practice, then items with random order and sides.

    An attention check is hidden among every `_CHECK_EVERY` items.
    """
    languages = request.annotators[name]
    extra = [row for row in request.extra if not languages or row.language in languages]
    checks = [row.item() for row in extra if row.kind == "check"]
    checks = checks or [_instructed(material, rng) for material in materials]
    body = [
        mine[place].model_copy(
            update={"base_first": mine[place].base_answer is not None and rng.random() < 0.5}
        )
        for place in rng.permutation(len(mine))
    ]
    for number in range(-(-len(body) // _CHECK_EVERY)):
        at = number * (_CHECK_EVERY + 1) + int(rng.integers(_CHECK_EVERY))
        body.insert(min(at, len(body)), checks[number % len(checks)])
    practice = [row.item() for row in extra if row.kind == "practice"]
    return [
        row.model_copy(update={"id": f"{number:04d}", "annotator": name})
        for number, row in enumerate([*practice, *body], 1)
    ]


def prompt_shown(messages: Sequence[Message]) -> str:
    """Return a prompt as a page shows it: one message alone, several with their roles."""
    if len(messages) == 1:
        return messages[0].content
    return "\n\n".join(f"[{message.role}] {message.content}" for message in messages)


def _instructed(material: Material, rng: np.random.Generator) -> KeyItem:
    """Return an attention check that says what to choose, at random."""
    words = {key: said for key, said in choices(material.question).items() if key != "cannot"}
    key = list(words)[rng.integers(len(words))]
    text = _CHECK.format(choice=words[key])
    other = "…" if material.compares else None
    return ExtraItem(
        kind="check", axis=material.axis, prompt=text, answer="…", other=other, choice=key
    ).item()


def _check_extra(materials: Sequence[Material], extra: Sequence[ExtraItem]) -> None:
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
