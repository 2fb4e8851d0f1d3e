"""Labels back in: bound to their texts, of known people, with agreement and who clicks through."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.annotation.conftest import MODELS, RARE, Make, material, noisy
from tests.evaluation.calibration.conftest import GOOD

from mixmerge.annotation.items import ExtraItem
from mixmerge.annotation.labels import LABELS_FILE, VERDICTS, collect, write_labels
from mixmerge.annotation.quality import agreements, annotators, disagreements
from mixmerge.annotation.task import DRAWN, KEY, KeyItem, read_task
from mixmerge.errors import DataError, SpecError
from mixmerge.evaluation.calibration.calibrate import calibrate
from mixmerge.evaluation.calibration.labels import CalibrateSpec, Label
from mixmerge.evaluation.calibration.material import Material
from mixmerge.evaluation.judges.human import HumanJudge
from mixmerge.evaluation.judging import items
from mixmerge.files import read_rows

START = datetime(2026, 1, 1, tzinfo=UTC)
Chooses = Callable[[KeyItem, int], str]


def truth(item: KeyItem, _: int = 0) -> str:
    """Return the right choice."""
    if item.expected:
        return item.expected
    if item.base_answer is None:
        return "yes" if GOOD in item.answer else "no"
    first, second = (GOOD in text for text in item.texts[1:])
    return "tie" if first == second else "a" if first else "b"


def sent(
    folder: Path, name: str, chooses: Chooses = truth, *, seconds: float = 9, **changes: Any
) -> Path:
    """Write the file of an annotator who labels every item."""
    plan, key = read_task(folder)
    rows = [
        {
            "id": item.id,
            "shown": item.shown,
            "choice": chooses(item, place),
            "seconds": seconds,
            "at": (START + timedelta(seconds=place)).isoformat(),
            "device": name,
        }
        | changes
        for place, item in enumerate(item for item in key if item.annotator == name)
    ]
    path = folder.parent / f"{name}-{len(list(folder.parent.iterdir()))}.json"
    path.write_text(json.dumps({"task": plan.task, "annotator": name, "labels": rows}))
    return path


def read(folder: Path, materials: list[Material], *files: Path) -> Any:
    plan, key = read_task(folder)
    return collect(folder, plan.task, key, files, materials)


def test_labels_are_what_calibrate_and_the_human_judge_read(task: Make) -> None:
    """Sides are turned back, each model that gave an answer has its label, texts are bound."""
    materials = [material("quality", 6), material("harm", 6)]
    folder = task(materials, "anna")
    found = read(folder, materials, sent(folder, "anna"))
    assert write_labels(folder, found, materials) == len(read_rows(folder / LABELS_FILE, Label))
    card = calibrate(CalibrateSpec(labels=folder / LABELS_FILE, probes=0), materials)
    for axis in ("quality", "harm"):
        agreed = card.axes[axis].accuracy.agreement
        assert agreed is not None
        assert agreed.value == 1
    pairs = materials[0]
    own = [*pairs.answers[MODELS[1]].values()]
    asked = items(pairs.question, pairs.prompts, own, [*pairs.answers["base"].values()])
    verdicts = HumanJudge(folder / VERDICTS / MODELS[1]).judge(asked, pairs.question)
    judged = {row.prompt: row.outcome for row in pairs.verdicts[MODELS[1]]}
    assert {row.prompt: row.outcome for row in verdicts} == judged


def test_a_label_for_a_changed_text_is_refused_and_said(task: Make) -> None:
    """A new answer, a new prompt or a page of other texts; the other labels count."""
    found = material("harm", 6)
    folder = task([found], "anna")
    path = sent(folder, "anna")
    whole = len(read(folder, [found], path).judged["anna"])
    own = dict(found.answers[MODELS[2]])
    own["q5-fr"] = own["q5-fr"].model_copy(update={"text": "new"})
    now = replace(found, answers={**found.answers, MODELS[2]: own})
    labels = read(folder, [now], path)
    assert len(labels.judged["anna"]) == whole - 1
    assert labels.notes == [
        (
            "anna: 1 labels are refused, because they were given for other texts than the task's "
            "or the run's of today (the first: harm, 'q5-fr')."
        )
    ]
    labels = read(folder, [found], sent(folder, "anna", shown="0" * 16))
    assert labels.judged["anna"] == []
    assert f"anna: {whole} labels are refused" in labels.notes[0]


def test_two_people_with_one_name_are_refused(task: Make) -> None:
    """Contradicting labels from two browsers are nobody's; agreeing ones are noted."""
    found = material("harm", 6)
    folder = task([found], "anna")
    one, same = sent(folder, "anna"), sent(folder, "anna", device="phone")
    assert read(folder, [found], one, same).notes == ["anna: labels come from 2 browsers."]
    other = sent(folder, "anna", lambda *_: "no", device="phone")
    with pytest.raises(DataError, match=r"anna: .* 2 browsers and contradict .* \d+ items"):
        read(folder, [found], one, other)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"task": "another", "annotator": "anna", "labels": []}', "labels of 'anna' for task"),
        ('{"task": "TASK", "annotator": "cara", "labels": []}', "labels of 'cara' for task"),
        ('{"labels": 3}', "is not a file of labels: `task`"),
        ('{"task": "TASK", "annotator": "anna", "labels": [{"id": "1"}]}', "labels.0.shown"),
    ],
)
def test_a_file_of_something_else_is_refused(task: Make, text: str, said: str) -> None:
    """The message says which file, what it holds and what this task is."""
    found = material("harm", 3)
    folder = task([found], "anna")
    path = folder.parent / "sent.json"
    path.write_text(text.replace("TASK", read_task(folder)[0].task))
    with pytest.raises(DataError, match=rf"sent\.json: .*{said}"):
        read(folder, [found], path)


def test_agreement_is_by_language_and_pair_and_shows_disagreement(task: Make) -> None:
    """Against the share counted here; whom people differ on is listed with what each said."""
    found = material("harm", 20)
    folder = task([found], "anna", "ben", "cara", overlap=1.0)
    wrong: Chooses = lambda item, place: "no" if place % 4 == 0 else truth(item)  # noqa: E731
    files = [sent(folder, "anna"), sent(folder, "ben", wrong), sent(folder, "cara")]
    labels = read(folder, [found], *files)
    made = {each.part: each for each in agreements(labels, [found])}
    assert {*made} == {"all", "en", "fr", "anna and ben", "anna and cara", "ben and cara"}
    assert made["anna and cara"].raw == 1
    assert made["anna and cara"].kappa == 1
    said = {one.item.shown: one.outcome for one in labels.items("ben")}
    right = {one.item.shown: one.outcome for one in labels.items("anna")}
    same = sum(said[key] == right[key] for key in said) / len(said)
    assert made["anna and ben"].raw == pytest.approx(same)
    assert 0 < made["all"].prevalence < 1
    differ = list(disagreements(labels, [found]))
    assert len(differ) == round((1 - same) * len(said))
    assert all(each.said["ben"] == "no" and each.majority == "yes" for each in differ)


def test_who_clicks_through_is_named(task: Make) -> None:
    """Failed checks, unreadable speed, one choice for all, one side; a careful one is not."""
    materials = [material("harm", 30), material("quality", 30)]
    folder = task(materials, "anna", "ben", "cara", overlap=0.5)
    first: Chooses = lambda item, _: "yes" if item.base_answer is None else "a"  # noqa: E731
    files = [
        sent(folder, "anna"),
        sent(folder, "ben", first),
        sent(folder, "cara", seconds=0.4),
    ]
    anna, ben, cara = annotators(read(folder, materials, *files), materials)
    assert anna.warnings == ()
    assert any("of the labels faster" in said for said in cara.warnings)
    told = " ".join(ben.warnings)
    assert "attention checks" in told
    assert "chose “yes” for all" in told
    assert "chose answer A in" in told
    assert anna.checks.split(" of ")[0] == anna.checks.split(" of ")[1]


def test_drift_is_told(task: Make) -> None:
    """One who judges well at first and by chance at the end agrees less and less."""
    found = material("harm", 60)
    folder = task([found], "anna")
    rng = np.random.default_rng(0)
    tired: Chooses = lambda item, place: (  # noqa: E731
        truth(item) if place < 200 or item.expected else str(rng.choice(["yes", "no"]))
    )
    (anna,) = annotators(read(folder, [found], sent(folder, "anna", tired)), [found])
    assert anna.drift is not None
    assert anna.drift.value < -0.2
    assert any("agrees with the judge" in said for said in anna.warnings)


def test_cannot_judge_is_counted_and_is_no_label(task: Make) -> None:
    """By its reason."""
    found = material("harm", 4)
    folder = task([found], "anna")
    path = sent(folder, "anna", lambda *_: "cannot", reason="not my language")
    labels = read(folder, [found], path)
    assert write_labels(folder, labels, [found]) == 0
    (anna,) = annotators(labels, [found])
    assert anna.cannot == {"not my language": anna.items}


def simulated(folder: Path, truths: dict[str, str], error: float, seed: int) -> Path:
    """Write the labels of a person who is wrong at random."""
    rng = np.random.default_rng(seed)
    flip = {"yes": "no", "no": "yes"}

    def chooses(item: KeyItem, _: int) -> str:
        right = item.expected or truths[item.answer]
        return flip[right] if rng.random() < error else right

    return sent(folder, "anna", chooses)


def simulate(task: Make, studies: int, error: float = 0.0) -> tuple[list[bool], list[float]]:
    """Return how often the corrected interval holds the labels' rate, and its width.

    The judge misses a fifth of the harm and calls a tenth of the rest harmful; half of the labels
    that a simple draw would need are drawn, most of them where the judge is less sure.
    """
    held, widths = [], []
    for seed in range(studies):
        found = material("harm", 100, noisy(seed))
        folder = task([found], "anna", labels=240, overlap=0.0, seed=seed)
        folder = folder.rename(folder.with_name(f"task-{error}-{seed}"))
        truths = {
            row.text: "yes" if GOOD in row.text else "no"
            for own in found.answers.values()
            for row in own.values()
        }
        labels = read(folder, [found], simulated(folder, truths, error, seed))
        write_labels(folder, labels, [found])
        spec = CalibrateSpec(labels=folder / LABELS_FILE, drawn=folder / DRAWN, probes=0)
        card = calibrate(spec, [found])
        for rate in card.corrected:
            own = [truths[row.text] == "yes" for row in found.answers[rate.model].values()]
            # What people of this error would say of all answers.
            target = float(np.mean(own)) * (1 - 2 * error) + error
            for kind in (rate.ppi, rate.rogan_gladen):
                assert kind is not None
                assert kind.ci is not None
                held.append(kind.ci[0] <= target <= kind.ci[1])
                widths.append(kind.ci[1] - kind.ci[0])
    return held, widths


@pytest.mark.parametrize("studies", [4, pytest.param(60, marks=pytest.mark.slow)])
@pytest.mark.parametrize("error", [0.0, 0.1])
def test_corrected_intervals_cover(task: Make, studies: int, error: float) -> None:
    """With a draw by the judge's verdicts, the rate that these people would find is inside."""
    held, widths = simulate(task, studies, error)
    assert np.mean(held) > (0.9 if studies > 10 else 0.7)
    assert np.mean(widths) < 0.25


def test_the_judge_card_is_not_fooled_by_the_draw(task: Make) -> None:
    """Sensitivity and specificity are those of all answers, although the draw prefers some."""
    found = material("harm", 200, noisy(1), RARE)
    folder = task([found], "anna", labels=500, overlap=0.0)
    write_labels(folder, read(folder, [found], sent(folder, "anna")), [found])
    spec = CalibrateSpec(labels=folder / LABELS_FILE, drawn=folder / DRAWN, probes=0)
    drawn, blind = (
        calibrate(each, [found]).axes["harm"].accuracy
        for each in (spec, spec.model_copy(update={"drawn": None}))
    )
    assert drawn.sensitivity is not None
    assert drawn.specificity is not None
    assert blind.specificity is not None
    assert blind.specificity.ci is not None
    assert blind.specificity.ci[1] < 0.9
    for found_value, true in ((drawn.sensitivity, 0.8), (drawn.specificity, 0.9)):
        assert found_value.ci is not None
        assert found_value.ci[0] < true < found_value.ci[1]


def test_a_draw_of_another_task_is_refused(task: Make) -> None:
    """Every prompt needs a stratum, also those that were not drawn."""
    found = material("harm", 10)
    folder = task([found], "anna")
    write_labels(folder, read(folder, [found], sent(folder, "anna")), [found])
    lines = (folder / DRAWN).read_text().splitlines()
    (folder / DRAWN).write_text("\n".join(lines[1:]) + "\n")
    spec = CalibrateSpec(labels=folder / LABELS_FILE, drawn=folder / DRAWN, probes=0)
    with pytest.raises(DataError, match=r"every prompt of harm needs a stratum.*1 have none"):
        calibrate(spec, [found])


def test_everyone_gets_what_they_read(task: Make) -> None:
    """Items go to those who know the language, and a language of nobody is an error."""
    found = material("harm", 10)
    spoken = {"anna": ("en",), "ben": ("en", "fr")}
    folder = task([found], annotators=spoken, overlap=0.5)
    for name, languages in spoken.items():
        mine = [row for row in read_rows(folder / KEY, KeyItem) if row.annotator == name]
        assert {row.language for row in mine if row.kind == "item"} <= {*languages}
        assert any(row.kind == "check" for row in mine)
    with pytest.raises(DataError, match="is a task folder already"):
        task([found], annotators=spoken)
    folder.rename(folder.with_name("old"))
    with pytest.raises(SpecError, match=r"nobody reads fr \(axis harm\)"):
        task([found], annotators={"anna": ("en",)})


def test_practice_must_fit_its_axis(task: Make) -> None:
    """The message names the item, its choice and what is allowed."""
    wrong = ExtraItem(axis="harm", prompt="p", answer="a", choice="tie")
    with pytest.raises(DataError, match=r"--practice, item 1: `choice` must be one of yes, no"):
        task([material("harm", 3)], extra=[wrong])
    unknown = wrong.model_copy(update={"axis": "style"})
    with pytest.raises(DataError, match="axis 'style' is not one of harm"):
        task([material("harm", 3)], extra=[unknown])
