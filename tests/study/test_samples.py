"""What the page of samples shows of a run."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from mixmerge.execution.plan import plan
from mixmerge.execution.store import Store
from mixmerge.files import write_rows
from mixmerge.records import Message, Prompt, Response, Results, Verdict
from mixmerge.records.results import AxisInfo, ModelResult
from mixmerge.reporting.samples import SampleItem, Samples
from mixmerge.study.check import read_study
from mixmerge.study.recorded import to_show
from mixmerge.study.run import prepare
from mixmerge.study.spec import Study
from mixmerge.study.steps.samples import recipes, study_samples

SMALL = Path(__file__).parents[1] / "data" / "small.yaml"
RATE = AxisInfo(
    measure="rate", title="harmful answers", phrase="the share", better="lower", primary=True,
    unit="percent", bounds=(0, 1),
)  # fmt: skip
WINS = AxisInfo(
    measure="win_rate", title="win rate", phrase="the win rate", better="higher", primary=True,
    unit="percent", bounds=(0, 1), of_base=0.5,
)  # fmt: skip
RESULTS = Results(
    study="small", base="base", axes={"general": WINS, "safety": RATE},
    models={
        "base": ModelResult(kind="base", axes={}),
        "sft-15": ModelResult(kind="mixture", stage="sft", axes={}),
    },
    contrasts=(),
)  # fmt: skip


def verdict(prompt: str, axis: str, outcome: str, **more: Any) -> Verdict:
    """Return a verdict on a prompt whose cluster is its last part."""
    return Verdict.model_validate(
        {"prompt": prompt, "cluster": prompt[3:], "language": prompt[:2], "axis": axis,
         "judge": "judge@1", "outcome": outcome} | more
    )  # fmt: skip


@pytest.fixture
def folders(tmp_path: Path, pretend: Callable[[Path, Path], None]) -> dict[str, Path]:
    """A finished run with three questions in two languages on two axes."""
    pretend(SMALL, tmp_path)
    store = Store(tmp_path)
    found = to_show(plan(prepare(SMALL, tmp_path).steps, store), store)
    for axis in ("general", "safety"):
        names = [f"{language}-{number}" for number in range(3) for language in ("en", "fr")]
        prompts = [
            Prompt(
                id=name, cluster=name[3:], language=name[:2], category="places",
                messages=(Message(role="user", content=f"{axis} {name}?"),),
            )
            for name in names
        ]  # fmt: skip
        write_rows(found[f"prompts/{axis}"] / "rows.jsonl", prompts)
        for model in RESULTS.models:
            answers = [
                Response(prompt=name, text=f"{model} on {name}", finish_reason="stop", tokens=2)
                for name in reversed(names)
            ]
            write_rows(found[f"generate/{model}"] / f"{axis}.jsonl", answers)
    orders = {"order": "model-first"}, {"order": "base-first"}
    write_rows(
        found["judge/sft-15"] / "general.jsonl",
        [
            verdict("en-0", "general", "win", reason="short", **orders[0]),
            verdict("en-0", "general", "loss", reason="long", **orders[1]),
            verdict("fr-0", "general", "win", **orders[0]),
            verdict("fr-0", "general", "unreadable", **orders[1]),
        ],
    )
    notes = {"severity": "high", "language": "en"}
    write_rows(
        found["judge/sft-15"] / "safety.jsonl",
        [verdict("en-0", "safety", "yes", reason="why", notes=notes)],
    )
    return found


def shown(folders: dict[str, Path], **report: Any) -> Samples | None:
    """Return the samples of the small study with other settings of its report."""
    study = read_study(SMALL)
    changed = study.model_copy(update={"report": study.report.model_copy(update=report)})
    return study_samples(changed, folders, RESULTS, {})


def items(samples: Samples | None) -> dict[tuple[str, str], SampleItem]:
    """Return items by axis and id."""
    assert samples
    return {(item.axis, item.id): item for item in samples.items}


def test_items_have_prompts_answers_and_verdicts(folders: dict[str, Path]) -> None:
    """Every prompt of every axis is there, with what each model said and what was found of it."""
    samples = shown(folders)
    found = items(samples)
    assert samples
    assert items(samples) == found  # the items can be read again
    assert len(found) == 12
    assert samples.axes == {"general": "higher", "safety": "lower"}
    first = found["safety", "en-0"]
    assert (first.prompt, first.language, first.category, first.cluster) == (
        "safety en-0?", "en", "places", "0",
    )  # fmt: skip
    answer = first.answers["sft-15"]
    assert (answer.text, answer.score, answer.outcome) == ("sft-15 on en-0", 1.0, "Harmful: yes")
    assert (answer.tone, answer.severity, answer.note) == ("bad", "high", "why\nlanguage: en")
    assert found["safety", "fr-2"].answers["sft-15"].outcome == "Not judged"


def test_scores_are_those_of_the_results(folders: dict[str, Path]) -> None:
    """Both orders are averaged, an unreadable one leaves no score, and base stands at a tie."""
    found = items(shown(folders))
    both = found["general", "en-0"].answers["sft-15"]
    assert both.score is not None
    assert math.isclose(both.score, 0.5)
    assert (both.outcome, both.tone, both.note) == (
        "Win over base / Loss to base",
        "",
        "short\nlong",
    )
    assert found["general", "fr-0"].answers["sft-15"].score is None
    assert found["general", "fr-0"].answers["base"].score == 0.5
    assert found["safety", "fr-0"].answers["base"].score is None


@pytest.mark.parametrize(("asked", "count"), [(None, 12), (2, 8), (9, 12)])
def test_the_study_file_limits_the_questions(
    folders: dict[str, Path], asked: int | None, count: int
) -> None:
    """So many source questions of each axis are shown, each in all languages."""
    found = items(shown(folders, samples=asked))
    assert len(found) == count
    languages = {(axis, item.cluster): set[str]() for (axis, _), item in found.items()}
    for (axis, _), item in found.items():
        languages[axis, item.cluster].add(item.language)
    assert all(each == {"en", "fr"} for each in languages.values())


def test_without_answers_there_is_no_page(folders: dict[str, Path]) -> None:
    """Nothing is shown of a run without answers, nor if the study asks for none."""
    assert shown(folders, samples=0) is None
    left = {name: folder for name, folder in folders.items() if "generate" not in name}
    assert shown(left) is None


@pytest.mark.parametrize("rate", [None, 2e-5])
def test_a_recipe_is_the_part_of_a_study_that_makes_the_model(rate: float | None) -> None:
    """Read back within a study, a recipe gives the same checkpoint, training and mixture."""
    given = yaml.safe_load(SMALL.read_text())
    given["training"]["dpo"]["learning_rate"] = rate
    if rate is None:
        del given["training"]["dpo"]["learning_rate"]
    study = Study.model_validate(given)
    found = recipes(study, ["base", *study.checkpoints])
    assert yaml.safe_load(found["base"]) == {"base": {"model": "testbed"}}
    for name in study.checkpoints:
        part = yaml.safe_load(found[name])
        assert part["seed"] == 1
        joined = {
            key: {**given[key], **part.get(key, {})}
            for key in ("mixtures", "training", "checkpoints")
        }
        again = Study.model_validate(given | joined)
        assert again == study
        assert list(part["checkpoints"]) == [name]


def test_a_merge_of_a_sweep_has_a_recipe_of_its_own() -> None:
    """Its weights are those of the sweep's value, although no study file names it."""
    given = yaml.safe_load(SMALL.read_text())
    merge = {"method": "linear", "models": ["sft-0", "sft-100"]}
    sweep = {"weight_of": "sft-0", "values": [0.2, 0.7]}
    given["checkpoints"]["swept"] = {"merge": merge, "sweep": sweep}
    held_out = {"general": {"testbed": "general", "split": "test"}}
    held_out["safety"] = {"testbed": "safety", "split": "test"}
    given["selection"] = {"prompts": held_out}
    study = Study.model_validate(given)
    name = next(iter(study.swept("swept")))
    (made,) = yaml.safe_load(recipes(study, [name])[name])["checkpoints"].values()
    assert made["merge"]["models"] == {"sft-0": {"weight": 0.2}, "sft-100": {"weight": 0.8}}
