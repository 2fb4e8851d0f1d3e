"""What the power of a study is simulated from: its prompts, pairs and judges, and assumptions."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mixmerge.errors import SpecError
from mixmerge.evaluation.measures import Measure
from mixmerge.evaluation.results import planned_contrasts
from mixmerge.execution.plan import Planned
from mixmerge.files import first_problem, read_json, read_rows
from mixmerge.records import Axis, Prompt
from mixmerge.records.judge_card import JudgeCard
from mixmerge.records.results import ModelInfo
from mixmerge.spec_model import quoted
from mixmerge.stats.drawn import Judged, Stated
from mixmerge.stats.estimate import MIN_CLUSTERS
from mixmerge.stats.power import CORRELATION, RATE, WITHIN
from mixmerge.stats.simulation import STUDIES
from mixmerge.study.pilot import Composition, Pair, Pilot
from mixmerge.study.resolution import counting_step, prompt_counts
from mixmerge.study.spec import BASE, Study
from mixmerge.study.steps.calibrate import CARD
from mixmerge.study.steps.kind import ROWS
from mixmerge.study.steps.results import results_settings

LARGEST = 1_000_000
"""Most prompts that are simulated."""


@dataclass(frozen=True)
class Assumed:
    """What is assumed where no pilot tells it, and what is asked."""

    pilots: Sequence[Path] = ()
    """Run folders; several have different seeds."""
    prompts: Mapping[Axis, tuple[int, int]] = field(default_factory=dict)
    """Source questions, and prompts of each: in place of the study's own."""
    rates: Mapping[Axis, float] = field(default_factory=dict)
    """True values of the baseline, in the measure's units; by default the middle of the range."""
    correlation: float = CORRELATION
    """Of two models' scores on one prompt."""
    within: float = WITHIN
    """Of two models' differences on two prompts of one source question."""
    sensitivity: float = 1.0
    """Of every judge, without a card."""
    specificity: float = 1.0
    card: Path | None = None
    """A judge card, or a run folder with one."""
    differences: Mapping[Axis | None, float] = field(default_factory=dict)
    """Wanted differences in the units of the measures; None stands for the other axes."""
    seeds: int = 1
    """Training seeds of the study."""
    studies: int = STUDIES
    """Simulated studies."""

    def wanted(self, axis: Axis) -> float | None:
        """Return the wanted difference of an axis."""
        return self.differences.get(axis, self.differences.get(None))


def check_assumed(asked: Assumed, study: Study) -> None:
    """Refuse assumptions that are impossible, or about something that the study does not have.

    Raises:
        SpecError: the message names the option, what is required and what was seen.
    """
    for axis in [*asked.rates, *asked.prompts, *asked.differences]:
        if axis is not None and axis not in study.evaluate.deciding:
            raise SpecError(
                f"{axis}: is no deciding axis; there are {quoted(study.evaluate.deciding)}."
            )
    _check_options(asked)
    for axis in study.evaluate.deciding:
        _check_numbers(asked, axis, study.evaluate.axes[axis].measure)
    if asked.seeds > 1 and len(asked.pilots) < 2:
        raise SpecError(
            f"--seeds {asked.seeds}: how much training seeds differ is seen only in two or more "
            f"runs of a study: give each as --pilot RUN_FOLDER (seen: {len(asked.pilots)}). "
            "Without --seeds, the power is that of comparing the trained checkpoints."
        )


def _check_options(asked: Assumed) -> None:
    if not 0 <= asked.correlation < 1:
        raise SpecError(
            f"--correlation {asked.correlation:g}: a number from 0 to below 1 is required."
        )
    for name in ("within", "sensitivity", "specificity"):
        if not 0 <= (seen := getattr(asked, name)) <= 1:
            raise SpecError(f"--{name} {seen:g}: a number from 0 to 1 is required.")
    for name, least in (("studies", 100), ("seeds", 1)):
        if (count := getattr(asked, name)) < least:
            raise SpecError(f"--{name} {count}: at least {least} is required.")
    if asked.card is not None and (asked.sensitivity, asked.specificity) != (1, 1):
        raise SpecError(
            "--judge-card has the judge's errors: leave --sensitivity and --specificity out."
        )


def _check_numbers(asked: Assumed, axis: Axis, measure: Measure) -> None:
    low, high = measure.range
    rate, wanted, size = asked.rates.get(axis), asked.wanted(axis), asked.prompts.get(axis)
    if rate is not None and not low < rate < high:
        raise SpecError(
            f"--rate {axis}={rate:g}: a number between {low:g} and {high:g} is required; at an end "
            "of its range a score does not vary."
        )
    if wanted is not None and not 0 < wanted < high - low:
        hint = (
            f" For {wanted:g} points write {wanted / 100:g}." if measure.unit == "percent" else ""
        )
        raise SpecError(
            f"--difference {wanted:g}: a number above 0 and below {high - low:g}, the range of "
            f"{axis}, is required.{hint}"
        )
    if size is not None and (size[0] < MIN_CLUSTERS or size[1] < 1 or size[0] * size[1] > LARGEST):
        raise SpecError(
            f"--prompts {axis}={size[0]}x{size[1]}: at least {MIN_CLUSTERS} source questions, each "
            f"with at least 1 prompt, and at most {LARGEST:,} prompts are required."
        )


def composition(
    study: Study,
    axis: Axis,
    asked: Assumed,
    steps: Mapping[str, Planned],
    known: Mapping[str, Sequence[Prompt]],
    pilot: Pilot | None,
) -> Composition:
    """Return the source questions of an axis by their languages.

    Raises:
        SpecError: the prompts are not known yet, or too few.
    """
    if axis in asked.prompts:
        clusters, each = asked.prompts[axis]
        return {("",) * each: clusters}
    step = counting_step(study, axis)
    counts = prompt_counts(step, steps, known)
    if counts is None and pilot is not None:
        return pilot.composition(axis)
    if counts is None:
        raise SpecError(
            f"{axis}: how many prompts it has is not known before they are here: run `--only "
            f"{step}` first, or say it: `--prompts {axis}=500`, or 200x6 for 200 source questions "
            "in 6 languages."
        )
    rows, clusters = counts
    if clusters < MIN_CLUSTERS:
        raise SpecError(
            f"{axis}: {clusters} source questions decide nothing; {MIN_CLUSTERS} are required."
        )
    folder = steps[step].folder if step in steps else None
    prompts = list(known.get(step, ()))
    if not prompts and folder is not None and (folder / ROWS).is_file():
        prompts = read_rows(folder / ROWS, Prompt)
    if not prompts:  # scored by a harness, which says only how many there are
        return {("",) * max(1, round(rows / clusters)): clusters}
    languages: dict[str, list[str]] = {}
    for prompt in prompts:
        languages.setdefault(prompt.cluster, []).append(prompt.language)
    found: dict[tuple[str, ...], int] = {}
    for own in languages.values():
        found[tuple(sorted(own))] = found.get(tuple(sorted(own)), 0) + 1
    return found


def primary_pairs(study: Study) -> list[Pair]:
    """Return the pairs of models whose contrasts decide.

    Raises:
        SpecError: there is none.
    """
    models = {BASE: ModelInfo(kind="base")} | dict(results_settings(study).models)
    tested = planned_contrasts(BASE, models, study.baselines())
    pairs = [(a, b) for a, b, family in tested if family == "primary"]
    if not pairs:
        raise SpecError(
            "The study compares no models: no checkpoint is tested against `evaluate.baseline`, so "
            "there is no power to speak of."
        )
    return pairs


def judges(study: Study, asked: Assumed) -> dict[Axis, Judged]:
    """Return the judge's errors on each deciding axis.

    Raises:
        SpecError: a judge is no better than a coin, or the card cannot be read.
    """
    card = _card(asked.card) if asked.card else None
    found: dict[Axis, Judged] = {}
    for axis in study.evaluate.deciding:
        trial = card.axes.get(axis) if card else None
        rates = (asked.sensitivity, asked.specificity)
        if trial is not None:
            both = (trial.accuracy.sensitivity, trial.accuracy.specificity)
            rates = (both[0].value, both[1].value) if both[0] and both[1] else (1.0, 1.0)
        found[axis] = Judged(*rates)
        if found[axis].youden <= 0:
            raise SpecError(
                f"{axis}: a judge with sensitivity {rates[0]:g} and specificity {rates[1]:g} is no "
                "better than a coin: no number of prompts shows a difference by its verdicts."
            )
    return found


def _card(path: Path) -> JudgeCard:
    from pydantic import ValidationError

    file = path / CARD if path.is_dir() else path
    try:
        return JudgeCard.model_validate(read_json(file))
    except ValidationError as error:
        raise SpecError(f"--judge-card {file}: is no judge card: {first_problem(error)}") from error


def stated(
    axis: Axis,
    measure: Measure,
    sizes: Composition,
    judge: Judged,
    asked: Assumed,
    pairs: Sequence[Pair],
) -> Stated:
    """Return two models on an axis as the assumptions say."""
    low, high = measure.range
    rate = (asked.rates[axis] - low) / (high - low) if axis in asked.rates else RATE
    with_base = all(b == BASE for _, b in pairs)
    return Stated(
        sizes=np.repeat([len(languages) for languages in sizes], [*sizes.values()]),
        rate=rate,
        correlation=asked.correlation,
        within=asked.within,
        judge=judge,
        fixed=measure.of_base if with_base else None,
    )


def in_pilot(pairs: Sequence[Pair], pilot: Pilot) -> dict[Pair, Pair]:
    """Return the pilot's pair for each pair of the study: itself, or one that it varies most on."""
    return {pair: pair if pair in pilot.pairs else pilot.widest for pair in pairs}


def assumptions(
    study: Study,
    asked: Assumed,
    judge: Mapping[Axis, Judged],
    pilot: Pilot | None,
    chosen: Mapping[Pair, Pair],
) -> Iterator[str]:
    """Yield what the simulation assumes, a sentence each."""
    if pilot is None:
        yield from _stated_in_words(study, asked)
    else:
        yield from _pilot_in_words(pilot, chosen)
    for axis, own in judge.items():
        if own.youden < 1:
            seen = "has" if pilot is None else "had in the pilot"
            yield (
                f"The judge of {axis} {seen} sensitivity {own.sensitivity:.2f} and specificity "
                f"{own.specificity:.2f}: its verdicts show {own.youden:.0%} of a true difference."
            )
    if all(own.youden == 1 for own in judge.values()):
        yield "The judge makes no errors beyond those in the scores (--judge-card, --sensitivity)."
    yield "Of all contrasts, one has the difference and the others have none."


def _stated_in_words(study: Study, asked: Assumed) -> Iterator[str]:
    rates = []
    for axis in study.evaluate.deciding:
        low, high = study.evaluate.axes[axis].measure.range
        rates.append(f"{axis} {asked.rates.get(axis, low + RATE * (high - low)):g}")
    yield (
        f"No pilot: true values of the baseline ({', '.join(rates)}; --rate), a correlation of "
        f"{asked.correlation:g} between two models on one prompt (--correlation), and of "
        f"{asked.within:g} between their differences on two prompts of one source question "
        "(--within). Scores are taken to vary as much as those of yes or no."
    )


def _pilot_in_words(pilot: Pilot, chosen: Mapping[Pair, Pair]) -> Iterator[str]:
    folders = quoted(str(run.folder) for run in pilot.runs)
    yield f"Source questions are drawn from the pilot, with all their languages: {folders}."
    other = [pair for pair, own in chosen.items() if pair != own]
    if other:
        a, b = pilot.widest
        yield (
            f"{len(other)} of {len(chosen)} pairs are not in the pilot ({other[0][0]} and "
            f"{other[0][1]}, …); they take {a} and {b}, which differ most."
        )
