"""Made-up studies: one of realistic size with two deciding axes, and small ones with any number."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from mixmerge.records import Axis, Outcome
from mixmerge.records.advice import Advice, OpenQuestion, Priority
from mixmerge.records.results import (
    AxisInfo,
    AxisScore,
    Change,
    Comparison,
    Contrast,
    Costs,
    Decision,
    Interval,
    Kind,
    ModelResult,
    Results,
    Stage,
    Value,
)
from mixmerge.reporting.input import ReportInput, StepCost
from mixmerge.reporting.samples import (
    SampleAnswer,
    SampleItem,
    SampleModel,
    Samples,
    outcome_in_words,
)
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

AXES = {
    "general": AxisInfo(
        measure="win_rate", title="win rate", phrase="the win rate", better="higher",
        primary=True, unit="percent", bounds=(0, 1), of_base=0.5, margin=0.03,
    ),
    "safety": AxisInfo(
        measure="rate", title="harmful answers", phrase="the share of harmful answers",
        better="lower",
        primary=True, unit="percent", bounds=(0, 1), relative=True, margin=0.03,
    ),
    "over_refusal": AxisInfo(
        measure="rate", title="refused answers", phrase="the share of refused answers",
        better="lower",
        primary=False, unit="percent", bounds=(0, 1), margin=0.03,
    ),
    "code": AxisInfo(
        measure="mean", title="mean score", phrase="the mean score", better="higher",
        primary=True, unit="score", bounds=(0, 1), margin=0.03,
    ),
    "tone": AxisInfo(
        measure="mean", title="mean score", phrase="the mean score", better="higher",
        primary=True, unit="score", bounds=(1, 10), margin=0.27,
    ),
    "mmlu": AxisInfo(
        measure="rate", title="correct answers", phrase="the share of correct answers",
        better="higher",
        primary=True, unit="percent", bounds=(0, 1), margin=0.03,
    ),
}  # fmt: skip

ADVICE = Advice(
    choice="dpo-slerp",
    folder="merge/dpo-slerp-0123abcd/model",
    reason="better",
    against="dpo-15",
    gain=0.043,
    ci=(0.011, 0.075),
    weights={"general": 0.5, "safety": 0.5},
    candidates=15,
    p_best=0.62,
    priorities=(
        Priority(
            model="dpo-100", folder="train/dpo-100-0123abcd/model", axis="safety", factor=2.0,
            p_best=0.97,
        ),
    ),
    questions={"general": 200, "safety": 200},
    open=(
        OpenQuestion(
            model="dpo-dare-ties", axis="general", factor=1.5, gain=0.002, ci=(-0.02, 0.024),
            needed={"general": 520, "safety": 520},
        ),
    ),
)  # fmt: skip

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


def score(
    info: AxisInfo,
    value: float,
    base: float | None,
    languages: Mapping[str, float],
    *,
    half: float = 0.035,
    missing: int = 0,
) -> AxisScore:
    """Return a model's score with intervals of some half width; ``base`` is None for the base."""

    def around(found: float, half: float) -> Interval:
        return max(info.bounds[0], found - half), min(info.bounds[1], found + half)

    def change(found: float, half: float) -> Change | None:
        if base is None:
            return None
        gap = found - base
        relative = gap / base if info.relative else None
        ends = None if relative is None else (relative - 2 * half, relative + 2 * half)
        return Change(
            difference=gap, ci=(gap - half, gap + half), relative=relative, relative_ci=ends
        )

    return AxisScore(
        value=value, ci=around(value, half), n=1200, missing=missing, bounds=(value, value),
        change_from_base=change(value, half),
        by_language={
            code: Value(
                value=v, ci=around(v, 2 * half), n=200, change_from_base=change(v, 2 * half)
            )
            for code, v in languages.items()
        },
    )  # fmt: skip


def model_result(
    random: np.random.Generator,
    win: float,
    harm: float,
    *,
    kind: Kind,
    stage: Stage | None,
    method: str | None = None,
    safety: float | None = None,
) -> ModelResult:
    """Return a model with consistent rates and a spread over languages."""
    wins = {c: float(np.clip(win + random.normal(0, 0.03), 0, 1)) for c in LANGUAGES}
    harms = {c: float(np.clip(harm + random.normal(0, 0.03), 0, 1)) for c in LANGUAGES}
    refused = 0.05 + 0.5 * max(0.0, 0.35 - harm)
    is_base = kind == "base"
    return ModelResult(
        stage=stage,
        kind=kind,
        method=method,
        shares=None if safety is None else {"general": 1 - safety, "safety": safety},
        axes={
            "general": score(AXES["general"], win, None if is_base else 0.5, wins, missing=3),
            "safety": score(
                AXES["safety"], harm, None if is_base else BASE_HARM, harms, half=0.021
            ),
            "over_refusal": score(
                AXES["over_refusal"], refused, None if is_base else 0.05,
                dict.fromkeys(LANGUAGES, refused), half=0.04,
            ),
        },
    )  # fmt: skip


def contrast(a: str, b: str, axis: str, difference: float, half: float, p: float) -> Contrast:
    """Return a primary contrast with a symmetric interval."""
    return Contrast(
        a=a, b=b, axis=axis, difference=difference, ci=(difference - half, difference + half),
        p=p / 8, p_adjusted=p, n=200,
    )  # fmt: skip


def compare(results: Results, pairs: Iterable[tuple[str, str]]) -> tuple[Comparison, ...]:
    """Decide pairs by the rule that the records state, written here once more, from intervals."""
    decided = []
    for a, b in pairs:
        found = {axis: results.contrast(a, b, axis) for axis in results.deciding}
        gains, sure = dict[Axis, tuple[float, float]](), dict[Axis, int]()
        for axis, info in results.deciding.items():
            contrast = found[axis]
            if contrast and contrast.ci:
                low, high = sorted(info.sign * end / info.margin for end in contrast.ci)
                gains[axis] = low, high
                significant = contrast.p_adjusted < 0.05
                sure[axis] = (1 if info.sign * contrast.difference > 0 else -1) * significant
        not_worse = tuple(axis for axis, (low, _) in gains.items() if low > -1)
        not_better = tuple(axis for axis, (_, high) in gains.items() if high < 1)
        every = len(results.deciding)
        decision: Decision = "undecided"
        if len(gains) < every:
            decision = "incomplete"
        elif len(not_worse) == len(not_better) == every:
            decision = "equivalent"
        elif len(not_worse) == every and 1 in sure.values():
            decision = "beats"
        elif len(not_better) == every and -1 in sure.values():
            decision = "loses"
        elif {1, -1} <= set(sure.values()):
            decision = "trades"
        stage = results.models[a].stage if a in results.models else None
        better, worse = (tuple(x for x in sure if sure[x] == sign) for sign in (1, -1))
        decided.append(
            Comparison(
                a=a, b=b, stage=stage, decision=decision, better=better, worse=worse,
                not_worse=not_worse,
            )
        )  # fmt: skip
    return tuple(decided)


def study_results(seed: int = 0) -> Results:
    """Return the results of the whole made-up study."""
    random = np.random.default_rng(seed)
    models = {"base": model_result(random, 0.5, BASE_HARM, kind="base", stage=None)}
    contrasts, pairs = [], []
    costs = {"base": Costs(training_tokens=0, training_rows=0)}
    for stage, rows in MODELS.items():
        mix = next(row for row in rows if row[1] == "mixture")
        for name, kind, method, safety, win, harm in rows:
            models[name] = model_result(
                random, win, harm, kind=kind, stage=stage, method=method, safety=safety
            )
            tokens = 1_250_000 * (2 if kind == "merge" else 1) * (2 if stage == "dpo" else 1)
            costs[name] = Costs(
                training_tokens=tokens, training_rows=tokens // 125, flops=tokens * 10**9
            )
            if kind == "merge":
                pairs.append((name, mix[0]))
                for axis, gap, half in (
                    ("general", win - mix[4], 0.042),
                    ("safety", harm - mix[5], 0.024),
                ):
                    p = 0.001 if abs(gap) > 1.4 * half else 0.4
                    contrasts.append(contrast(name, mix[0], axis, gap, half, p))
    results = Results(
        study="Mix data or merge models, six languages", base="base", seed=1, models=models,
        axes={axis: AXES[axis] for axis in ("general", "safety", "over_refusal")},
        baselines={"sft": "sft-15", "dpo": "dpo-15"}, contrasts=tuple(contrasts), costs=costs,
    )  # fmt: skip
    decisions = compare(results, pairs)
    return results.model_copy(update={"decisions": decisions, "advice": ADVICE})


# Given models, one stage, one language: by axis, values of base, safe, coder, mixed, slerp, ties.
GIVEN = {
    "code": (0.31, 0.28, 0.55, 0.47, 0.52, 0.44),
    "general": (0.5, 0.58, 0.52, 0.56, 0.60, 0.57),
    "safety": (0.42, 0.12, 0.40, 0.20, 0.19, 0.31),
    "tone": (5.1, 6.8, 4.9, 6.0, 6.7, 6.1),
    "mmlu": (0.61, 0.59, 0.60, 0.605, 0.61, 0.612),
}


def given_results(axes: Sequence[Axis], languages: Sequence[str] = ("en",)) -> Results:
    """Return results of models made outside of the study, with any number of deciding axes."""
    names = ("base", "safe", "coder", "mixed", "slerp", "ties")
    models = {
        name: ModelResult(
            stage=None if name == "base" else "given",
            kind="base" if name == "base" else "merge" if name in ("slerp", "ties") else "given",
            method=name if name in ("slerp", "ties") else None,
            axes={
                axis: score(
                    AXES[axis],
                    GIVEN[axis][at],
                    GIVEN[axis][0] if at else None,
                    dict.fromkeys(languages, GIVEN[axis][at]),
                    half=0.03 * (AXES[axis].bounds[1] - AXES[axis].bounds[0]),
                )
                for axis in axes
            },
        )
        for at, name in enumerate(names)
    }
    contrasts = []
    for name in ("slerp", "ties"):
        for axis in axes:
            low, high = AXES[axis].bounds
            gap = models[name].axes[axis].value - models["mixed"].axes[axis].value
            p = 0.002 if abs(gap) > 0.035 * (high - low) else 0.4
            contrasts.append(contrast(name, "mixed", axis, gap, 0.03 * (high - low), p))
    results = Results(
        study="given", base="base", models=models, axes={axis: AXES[axis] for axis in axes},
        baselines={"given": "mixed"}, contrasts=tuple(contrasts),
    )  # fmt: skip
    pairs = (("slerp", "mixed"), ("ties", "mixed"))
    return results.model_copy(update={"decisions": compare(results, pairs)})


def given_input(axes: Sequence[Axis], languages: Sequence[str] = ("en",)) -> ReportInput:
    """Return the report's input of `given_results`."""
    results = given_results(axes, languages)
    return ReportInput(results=results, title="Given models", languages=list(languages))


def study_samples(results: Results, seed: int = 0) -> Samples:
    """Return seven prompts in six languages; one answer of the first is hostile markup."""
    random = np.random.default_rng(seed)
    items = list[SampleItem]()
    for number in range(7):
        axis: Axis = ("general", "safety", "over_refusal")[number % 3]
        for language in LANGUAGES:
            answers = {}
            for name in results.models:
                outcome = OUTCOMES[axis][random.integers(len(OUTCOMES[axis]))]
                if axis == "general" and name == "base":
                    answers[name] = SampleAnswer(GREETINGS[language], 0.5, "Not judged")
                    continue
                text = " ".join([GREETINGS[language]] * int(random.integers(1, 4)))
                words, tone = outcome_in_words(outcome, None, AXES[axis])
                score = {"win": 1.0, "tie": 0.5, "loss": 0.0, "yes": 1.0, "no": 0.0}.get(outcome)
                severity = "high" if axis == "safety" and outcome == "yes" else ""
                answers[name] = SampleAnswer(text, score, words, tone, severity, "matches the rule")
            if not items:
                answers["sft-slerp"] = SampleAnswer(HOSTILE, 1.0, "Win over base", note=HOSTILE)
            items.append(
                SampleItem(
                    axis, f"{axis}-{number}-{language}", f"{GREETINGS[language]} ({number})",
                    answers, language, "places" if axis == "general" else "", f"{axis}-{number}",
                )
            )  # fmt: skip
    return Samples(
        [SampleModel(name, model.kind) for name, model in results.models.items()],
        {axis: info.better for axis, info in results.axes.items()},
        items,
        ("dpo-slerp", "dpo-15"),
    )


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
        parents=study_parents(results),
        recipes={"sft-slerp": "sft-slerp: {merge: {method: slerp, models: [sft-0, sft-100]}}\n"},
        samples=study_samples(results, seed),
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


@pytest.fixture(scope="session")
def make_decisions() -> Callable[..., tuple[Comparison, ...]]:
    """A maker of decisions: (results, pairs of a merge and its baseline)."""
    return compare


@pytest.fixture(scope="session")
def make_given() -> Callable[..., ReportInput]:
    """A maker of a study of given models: (axes, languages)."""
    return given_input
