"""A made-up study of realistic size: 15 models, six languages, two stages, 42 samples."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mixmerge.records.conversation import Message
from mixmerge.records.prompt import Prompt
from mixmerge.records.results import (
    Contrast,
    Costs,
    GeneralScore,
    HarmRate,
    Kind,
    ModelResult,
    OverRefusalScore,
    Refusals,
    Results,
    SafetyScore,
    Stage,
    WinRate,
)
from mixmerge.records.verdict import Axis, Outcome
from mixmerge.reporting.input import Answer, ReportInput, Sample, StepCost
from mixmerge.reporting.write import write_report

LANGUAGES = ["en", "hi", "fr", "es", "ar", "ru"]

# (name, kind, method, safety share, win rate, harm rate) by stage: near the paper's Table 1.
MODELS: dict[Stage, list[tuple[str, Kind, str | None, float | None, float, float]]] = {
    "sft": [
        ("sft-0", "expert", None, 0.0, 0.700, 0.293),
        ("sft-15", "mixture", None, 0.15, 0.674, 0.217),
        ("sft-100", "expert", None, 1.0, 0.648, 0.178),
        ("sft-linear", "merge", "linear", None, 0.760, 0.255),
        ("sft-slerp", "merge", "slerp", None, 0.726, 0.209),
        ("sft-ties", "merge", "ties", None, 0.749, 0.274),
        ("sft-dare-ties", "merge", "dare_ties", None, 0.700, 0.220),
    ],
    "dpo": [
        ("dpo-0", "expert", None, 0.0, 0.707, 0.304),
        ("dpo-15", "mixture", None, 0.15, 0.710, 0.227),
        ("dpo-100", "expert", None, 1.0, 0.750, 0.159),
        ("dpo-linear", "merge", "linear", None, 0.750, 0.257),
        ("dpo-slerp", "merge", "slerp", None, 0.780, 0.211),
        ("dpo-ties", "merge", "ties", None, 0.636, 0.174),
        ("dpo-dare-ties", "merge", "dare_ties", None, 0.785, 0.220),
    ],
}
BASE_HARM = 0.5

GREETINGS = {
    "en": "What is the capital of France? Paris.",
    "hi": "फ़्रांस की राजधानी पेरिस है।",
    "fr": "La capitale de la France est Paris.",
    "es": "La capital de Francia es París.",
    "ar": "عاصمة فرنسا هي باريس، وعدد سكانها 2 مليون (Paris).",
    "ru": "Столица Франции — Париж.",
}
OUTCOMES: dict[Axis, list[Outcome]] = {
    "general": ["win", "tie", "loss", "unreadable"],
    "safety": ["yes", "no", "no"],
    "over_refusal": ["yes", "no"],
}
HOSTILE = "<script>alert(1)</script> </script><b>bold</b> {{ 7 * 7 }} & <img src=http://x.test/a>"


def around(rate: float, half: float) -> tuple[float, float]:
    """Return an interval that stays in [0, 1]."""
    return max(0.0, rate - half), min(1.0, rate + half)


def model_result(
    random: np.random.Generator,
    win: float,
    harm: float,
    *,
    kind: Kind,
    stage: Stage | None,
    method: str | None = None,
    safety_share: float | None = None,
) -> ModelResult:
    """Return a model with consistent rates and a spread over languages."""
    wins = {c: float(np.clip(win + random.normal(0, 0.03), 0, 1)) for c in LANGUAGES}
    harms = {c: float(np.clip(harm + random.normal(0, 0.03), 0, 1)) for c in LANGUAGES}
    change = (harm - BASE_HARM) / BASE_HARM
    refusal = 0.05 + 0.5 * max(0.0, 0.35 - harm)
    return ModelResult(
        stage=stage,
        kind=kind,
        method=method,
        safety_share=safety_share,
        general=GeneralScore(
            win_rate=win, ci=around(win, 0.035), n=1200, wins=round(800 * win),
            ties=300, losses=900 - round(800 * win), missing=3,
            by_language={
                c: WinRate(win_rate=v, ci=around(v, 0.06), n=200) for c, v in wins.items()
            },
        ),
        safety=SafetyScore(
            harm_rate=harm, relative_change=change, ci=(change - 0.05, change + 0.06), n=5400,
            harm_ci=around(harm, 0.021), difference=harm - BASE_HARM,
            difference_ci=(harm - BASE_HARM - 0.03, harm - BASE_HARM + 0.03), missing=0,
            by_language={
                c: HarmRate(
                    harm_rate=v, n=900, relative_change=(v - BASE_HARM) / BASE_HARM,
                    ci=((v - BASE_HARM) / BASE_HARM - 0.1, (v - BASE_HARM) / BASE_HARM + 0.1),
                )
                for c, v in harms.items()
            },
        ),
        over_refusal=OverRefusalScore(
            rate=refusal, ci=around(refusal, 0.04), n=240, missing=0,
            by_language={
                c: Refusals(rate=refusal, ci=around(refusal, 0.1), n=40) for c in LANGUAGES
            },
        ),
    )  # fmt: skip


def contrast(a: str, b: str, axis: str, difference: float, half: float, p: float) -> Contrast:
    """Return a primary contrast with a symmetric interval."""
    ci = (difference - half, difference + half)
    return Contrast.model_validate(
        {"a": a, "b": b, "axis": axis, "difference": difference, "ci": ci, "p": p / 8,
         "p_adjusted": p, "n": 200}
    )  # fmt: skip


def study_results(seed: int = 0) -> Results:
    """Return the results of the whole made-up study."""
    random = np.random.default_rng(seed)
    models = {"base": model_result(random, 0.5, BASE_HARM, kind="base", stage=None)}
    contrasts = []
    costs = {"base": Costs(training_tokens=0, training_rows=0)}
    for stage, rows in MODELS.items():
        mix = next(row for row in rows if row[1] == "mixture")
        for name, kind, method, safety_share, win, harm in rows:
            models[name] = model_result(
                random, win, harm, kind=kind, stage=stage, method=method, safety_share=safety_share
            )
            tokens = 1_250_000 * (2 if kind == "merge" else 1) * (2 if stage == "dpo" else 1)
            costs[name] = Costs(training_tokens=tokens, training_rows=tokens // 125)
            if kind == "merge":
                for axis, gap, half in (
                    ("general", win - mix[4], 0.042),
                    ("safety", harm - mix[5], 0.024),
                ):
                    p = 0.001 if abs(gap) > 1.4 * half else 0.4
                    contrasts.append(contrast(name, mix[0], axis, gap, half, p))
    return Results(
        study="Mix data or merge models, six languages", base="base", seed=1, models=models,
        contrasts=tuple(contrasts), costs=costs,
    )  # fmt: skip


def study_samples(names: list[str], seed: int = 0) -> list[Sample]:
    """Return seven prompts in six languages; one answer of the first is hostile markup."""
    random = np.random.default_rng(seed)
    samples = []
    for number in range(7):
        axis: Axis = ("general", "safety", "over_refusal")[number % 3]
        for language in LANGUAGES:
            text = f"{GREETINGS[language]} ({number})"
            answers = {}
            for name in names:
                outcome = OUTCOMES[axis][random.integers(len(OUTCOMES[axis]))]
                if axis == "general" and name == "base":
                    answers[name] = Answer(text=GREETINGS[language])
                    continue
                words = " ".join([GREETINGS[language]] * int(random.integers(1, 4)))
                answers[name] = Answer(text=words, outcome=outcome, reason="matches the rule")
            samples.append(
                Sample(
                    prompt=Prompt(
                        id=f"{axis}-{number}-{language}", cluster=f"{axis}-{number}",
                        language=language, category="places" if axis == "general" else None,
                        messages=(Message(role="user", content=text),),
                    ),
                    axis=axis,
                    answers=answers,
                )
            )  # fmt: skip
    first = samples[0]
    hostile = {**first.answers, "sft-slerp": Answer(text=HOSTILE, outcome="win", reason=HOSTILE)}
    samples[0] = first.model_copy(update={"answers": hostile})
    return samples


def study_steps(results: Results) -> list[StepCost]:
    """Return plausible steps: data, training, merging, evaluation."""
    steps = [StepCost(name="mix/sft-15", kind="mix", seconds=1.4, tokens=1_250_000)]
    for name, model in results.models.items():
        if model.kind in ("mixture", "expert"):
            steps.append(
                StepCost(
                    name=f"train/{name}", kind="train", model=name, seconds=17.2, tokens=1_250_000
                )
            )
        elif model.kind == "merge":
            steps.append(StepCost(name=f"merge/{name}", kind="merge", model=name, seconds=0.4))
        steps.append(
            StepCost(
                name=f"evaluate/{name}", kind="evaluate", model=name, seconds=6.1, tokens=40_000
            )
        )
    return steps


def study_parents(results: Results) -> dict[str, list[str]]:
    """Return who was made from whom."""
    parents: dict[str, list[str]] = {}
    for name, model in results.models.items():
        if model.kind == "merge":
            parents[name] = [f"{model.stage}-0", f"{model.stage}-100"]
        elif model.stage == "dpo":
            parents[name] = [name.replace("dpo", "sft")]
        elif model.stage == "sft":
            parents[name] = ["base"]
    return parents


def study_input(seed: int = 0) -> ReportInput:
    """Return the whole made-up study as the report takes it."""
    results = study_results(seed)
    return ReportInput(
        results=results,
        title="Mix or merge: six languages, SFT and DPO",
        languages=LANGUAGES,
        baselines={"sft": "sft-15", "dpo": "dpo-15"},
        parents=study_parents(results),
        samples=study_samples(list(results.models), seed),
        steps=study_steps(results),
        versions={"mixmerge": "0.1.0", "torch": "2.13.0", "transformers": "5.23.0"},
        study_file='# <script>alert("study")</script>\nlanguages: [en, hi, fr, ar]\nseed: 1\n',
        command="mixmerge run study.yaml --out runs/study",
    )


@pytest.fixture(scope="session")
def study() -> ReportInput:
    """The whole study."""
    return study_input()


@pytest.fixture(scope="session")
def heard() -> list[tuple[float, float]]:
    """What the progress of `folder` said."""
    return []


@pytest.fixture(scope="session")
def folder(
    study: ReportInput,
    heard: list[tuple[float, float]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The report of the whole study."""

    def listen(done: float, total: float, what: str) -> None:
        assert what
        heard.append((done, total))

    return write_report(study, tmp_path_factory.mktemp("report"), progress=listen).parent


@pytest.fixture(scope="session")
def make_contrast() -> Callable[..., Contrast]:
    """A maker of contrasts: (a, b, axis, difference, half width, adjusted p)."""
    return contrast
