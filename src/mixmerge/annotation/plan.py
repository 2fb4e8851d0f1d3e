"""Make a task folder: what is drawn, who gets it in which order, and the pages."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from mixmerge.annotation.draw import JudgeRates, allocate, answers_to, strata
from mixmerge.annotation.exchange import FORMATS
from mixmerge.annotation.items import ExtraItem, assigned, check_extra, on_page
from mixmerge.annotation.page import write_page
from mixmerge.annotation.sizes import Draw, fewest, whole_variance
from mixmerge.annotation.task import (
    DRAWN,
    KEY,
    TASK,
    KeyItem,
    Size,
    TaskPlan,
)
from mixmerge.errors import DataError, SpecError
from mixmerge.evaluation.calibration.labels import Drawn
from mixmerge.evaluation.calibration.material import Material
from mixmerge.files import whole_folder, write_json, write_rows, write_text
from mixmerge.fingerprint import fingerprint
from mixmerge.records import Axis, Message, Prompt
from mixmerge.spec_model import unknown_name


@dataclass(frozen=True)
class Request:
    """What to draw, and for whom."""

    annotators: Mapping[str, tuple[str, ...]]
    """The languages that each annotator reads; empty for all."""
    labels: int | None = None
    """Choices to ask for, all annotators together, without practice and checks; None for all."""
    half_width: float | None = None
    """In place of ``labels``: the fewest that give this half-width on every axis."""
    overlap: float = 0.2
    """Share of the items that several annotators get: three of them, or both of two."""
    languages: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    seed: int = 0
    extra: Sequence[ExtraItem] = ()
    guidelines: str = ""
    to: Sequence[str] = ()
    """Tools of `mixmerge.annotation.exchange.FORMATS` to write the items for, too."""
    judged: Mapping[Axis, JudgeRates] = field(default_factory=dict)

    @property
    def raters(self) -> int:
        """People who label an item of the overlap."""
        return min(3, len(self.annotators))

    @property
    def labels_an_answer(self) -> float:
        """Labels for each answer, on average."""
        return 1 + self.overlap * (self.raters - 1)


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
    check_extra(materials, request.extra)
    asked = [_spoken(material, request.languages) for material in materials]
    draw = _drawn(asked, request)
    rng = np.random.default_rng(request.seed)
    drawn = [
        (stratum.axis, stratum.prompts[place])
        for stratum, count in zip(draw.strata, draw.counts, strict=True)
        for place in rng.permutation(len(stratum.prompts))[:count]
    ]
    items = [item for axis, prompt in drawn for item in _items(materials, axis, prompt)]
    given = _assigned(items, request, rng)
    key = {
        name: on_page(name, mine, _extra_for(name, request), materials, rng)
        for name, mine in given.items()
    }
    rows = [item for mine in key.values() for item in mine]
    plan = TaskPlan(
        task=fingerprint([run, [item.model_dump(mode="json") for item in rows]])[:16],
        run=run,
        seed=request.seed,
        models=request.models,
        languages=request.languages,
        guidelines=request.guidelines,
        annotators=dict(request.annotators),
        strata=[one.planned(n) for one, n in zip(draw.strata, draw.counts, strict=True)],
        assumed={m.axis: request.judged.get(m.axis, JudgeRates()).source for m in materials},
        size=_size(draw, request),
        sizes=_sizes(draw, request),
    )
    stratum = {(one.axis, each.id): one.name for one in draw.strata for each in one.prompts}
    with whole_folder(out) as folder:
        write_rows(folder / KEY, rows)
        write_rows(
            folder / DRAWN,
            (
                Drawn(
                    axis=each.axis,
                    prompt=prompt.id,
                    stratum=stratum.get((each.axis, prompt.id), "not drawn"),
                )
                for each in materials
                for prompt in each.prompts
            ),
        )
        for name, mine in key.items():
            write_page(folder, plan, name, mine, materials)
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


def _drawn(materials: Sequence[Material], request: Request) -> Draw:
    """Return strata and prompts to draw: by language and verdict, or by verdict if few."""
    pairs = [(m, request.judged.get(m.axis, JudgeRates())) for m in materials]
    whole = {m.axis: whole_variance(m, judged) for m, judged in pairs}
    fine = [one for m, judged in pairs for one in strata(m, judged)]
    labels = request.labels and request.labels / request.labels_an_answer
    if request.half_width is not None:
        labels = fewest(Draw(fine, (), whole), request.half_width)
    try:
        return Draw(fine, allocate(fine, labels), whole)
    except SpecError:
        coarse = [one for m, judged in pairs for one in strata(m, judged, by_language=False)]
        return Draw(coarse, allocate(coarse, labels), whole)


def _size(draw: Draw, request: Request) -> Size:
    labels = round(draw.answers * request.labels_an_answer)
    return Size(labels=labels, half_width=draw.half_width())


def _sizes(draw: Draw, request: Request) -> list[Size]:
    """Return a quarter, half, twice and four times the labels where it is possible, and all."""
    made = {}
    for labels in (*(draw.answers * times for times in (0.25, 0.5, 1, 2, 4)), None):
        with suppress(SpecError):  # too few for this draw
            counts = allocate(draw.strata, labels)
            size = _size(replace(draw, counts=counts), request)
            made[size.labels] = size
    return [made[labels] for labels in sorted(made)]


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
    items: Sequence[KeyItem], request: Request, rng: np.random.Generator
) -> dict[str, list[KeyItem]]:
    """Give each item to those with the fewest who read its language; a share to several."""
    several = set(rng.permutation(len(items))[: round(request.overlap * len(items))].tolist())
    shares = [request.raters if place in several else 1 for place in range(len(items))]
    return assigned(items, request.annotators, shares, rng)


def _extra_for(name: str, request: Request) -> list[KeyItem]:
    """Return practice and checks in an annotator's languages."""
    languages = request.annotators[name]
    return [row.item() for row in request.extra if not languages or row.language in languages]


def prompt_shown(messages: Sequence[Message]) -> str:
    """Return a prompt as a page shows it: one message alone, several with their roles."""
    if len(messages) == 1:
        return messages[0].content
    return "\n\n".join(f"[{message.role}] {message.content}" for message in messages)
