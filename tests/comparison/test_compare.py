"""Comparing runs: names, baselines, what does not fit together, and what is said about it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.comparison.test_against_references import write_scores
from tests.logs.made import write_inspect, write_lm_eval

from mixmerge import compare
from mixmerge.errors import DataError, SpecError
from mixmerge.logs.find import read_logs
from mixmerge.logs.scores import Asked

HALF = [1, 0] * 20
MOST = [1, 1, 1, 0] * 10


def test_lm_eval_runs(tmp_path: Path) -> None:
    """Two folders, several tasks: each model less the first one, p-values adjusted together."""
    write_lm_eval(tmp_path, "base", {"sums": HALF, "facts": HALF})
    write_lm_eval(tmp_path, "tuned", {"sums": MOST, "facts": HALF})
    found = compare([tmp_path / "base", tmp_path / "tuned"])
    facts, sums = found.contrasts
    assert (found.baseline, sums.a, sums.b, sums.axis) == ("base", "tuned", "base", "sums")
    assert (sums.value_a, sums.value_b, sums.difference) == (0.75, 0.5, 0.25)
    assert (sums.verdict, sums.p_mcnemar, sums.items) == ("better", 2 / 2**10, 40)
    assert sums.p_adjusted == pytest.approx(2 * sums.p)
    assert sums.needed is None
    assert (facts.difference, facts.p, facts.verdict, facts.needed) == (0, 1, "undecided", None)
    assert found.tasks["sums"].version == "1.0"
    assert found.models["tuned"]["sums"].n == 40


def test_inspect_logs_with_epochs(tmp_path: Path) -> None:
    """Epochs are repeats: an item's score is their mean."""
    a = write_inspect(tmp_path / "a.eval", {"m": ["C", "I"] * 40}, epochs=2, model="x/a")
    b = write_inspect(tmp_path / "b.eval", {"m": ["C", "I", "I", "I"] * 20}, epochs=2, model="x/b")
    found = compare([a, b])
    (pair,) = found.contrasts
    assert (pair.a, pair.value_a, pair.value_b, pair.items) == ("x/b", 0.25, 0.5, 40)
    assert (found.models["x/a"]["sums"].epochs, pair.verdict) == (2, "worse")


def test_names_and_repeats(tmp_path: Path) -> None:
    """NAME=PATH names a model; one name for two logs makes these repeats."""
    paths = [
        write_inspect(tmp_path / f"{n}.eval", {"m": grades})
        for n, grades in enumerate((["C", "I"] * 20, ["I", "I"] * 20, ["C", "C"] * 20))
    ]
    found = compare([f"one={paths[0]}", f"one={paths[1]}", f"two={paths[2]}"])
    (pair,) = found.contrasts
    assert (pair.a, pair.b, pair.value_b) == ("two", "one", 0.25)
    assert found.models["one"]["sums"].epochs == 2


def test_one_model_in_two_runs_is_called_by_the_path(tmp_path: Path) -> None:
    """Without names, runs of the same model are told apart by their paths."""
    a = write_inspect(tmp_path / "a.eval", {"m": ["C", "I"] * 20})
    b = write_inspect(tmp_path / "b.eval", {"m": ["C", "C"] * 20})
    assert list(compare([a, b]).models) == [str(a), str(b)]


def test_models_in_two_runs_of_several(tmp_path: Path) -> None:
    """Runs with the same models each are told apart by path and model; nothing is pooled."""
    for run, scores in (("x", HALF), ("y", MOST)):
        for model in ("a", "b"):
            write_lm_eval(tmp_path / run, model, {"sums": scores})
    found = compare([tmp_path / "x", tmp_path / "y"])
    names = [f"{tmp_path / run}: {model}" for run in "xy" for model in "ab"]
    assert list(found.models) == names
    assert [pair.difference for pair in found.contrasts] == [0, 0.25, 0.25]


def test_a_log_given_twice(tmp_path: Path) -> None:
    """A log is no repeat of itself."""
    path = write_lm_eval(tmp_path, "a", {"sums": HALF})
    with pytest.raises(SpecError, match=r"is given twice"):
        compare([f"a={path}", f"a={path}"])


def test_a_baseline_by_name(tmp_path: Path) -> None:
    """Any model can be the baseline; a name that does not exist is refused."""
    path = write_scores(tmp_path / "s.csv", {m: np.array(HALF) for m in ("a", "b", "c")})
    found = compare([path], baseline="b")
    assert [(pair.a, pair.b) for pair in found.contrasts] == [("a", "b"), ("c", "b")]
    with pytest.raises(SpecError, match=r"no model `d` \(there are: a, b, c\)"):
        compare([path], baseline="d")


def test_lower_is_better(tmp_path: Path) -> None:
    """The verdict follows the direction of the log, or of the option; the difference does not."""
    write_lm_eval(tmp_path, "base", {"harm": HALF}, better=False)
    write_lm_eval(tmp_path, "tuned", {"harm": MOST}, better=False)
    (pair,) = compare([tmp_path]).contrasts
    assert (pair.difference, pair.verdict) == (0.25, "worse")
    (pair,) = compare([tmp_path], better="higher").contrasts
    assert pair.verdict == "better"


def test_other_versions_of_a_task(tmp_path: Path) -> None:
    """Logs of two versions are refused, or compared on the items that both have unchanged."""
    write_lm_eval(tmp_path, "base", {"sums": HALF})
    write_lm_eval(tmp_path, "tuned", {"sums": MOST}, version=2.0)
    with pytest.raises(DataError, match=r"base was evaluated with version 1\.0 .*tuned with versi"):
        compare([tmp_path])
    (pair,) = compare([tmp_path], mismatch="common").contrasts
    assert pair.items == 40


def test_other_prompts(tmp_path: Path) -> None:
    """Other prompts are refused with the reason; common ones, or all, are compared if asked."""
    write_lm_eval(tmp_path, "base", {"sums": HALF})
    write_lm_eval(tmp_path, "tuned", {"sums": MOST}, shots=5)
    with pytest.raises(DataError, match=r"40 of 40 common items.*\(n-shot is 0 and 5\)"):
        compare([tmp_path])
    with pytest.raises(DataError, match="no item with a score in common"):
        compare([tmp_path], mismatch="common")
    assert compare([tmp_path], mismatch="ignore").contrasts[0].items == 40


def test_some_other_questions(tmp_path: Path) -> None:
    """`common` leaves out the items whose question changed, and says how many."""
    a = write_inspect(tmp_path / "a.eval", {"m": ["C", "I"] * 20}, model="a")
    b = write_inspect(tmp_path / "b.json", {"m": ["C", "C"] * 20}, model="b")
    b.write_text(b.read_text().replace('"What is 7?"', '"What was 7?"'))
    with pytest.raises(DataError, match=r"1 of 40 common items have another question .*first '8'"):
        compare([a, b])
    found = compare([a, b], mismatch="common")
    assert found.contrasts[0].items == 39
    assert any("1 items have another question or prompt" in note for note in found.notes)


def test_chat_templates_of_their_own(tmp_path: Path) -> None:
    """Models with other chat templates have other prompts for the same question; that is said."""
    for name, shots in (("base", 0), ("tuned", 1)):
        path = write_lm_eval(tmp_path, name, {"sums": HALF}, shots=shots)
        text = path.read_text().replace('"n-shot": {\n    "sums": 1', '"n-shot": {\n    "sums": 0')
        path.write_text(text.replace('{\n  "results"', "{\n" + '  "results"', 1))
        end = text.rstrip().removesuffix("}").rstrip()
        path.write_text(f'{end},\n  "chat_template_sha": "{name}"\n}}')
    found = compare([tmp_path])
    assert found.contrasts[0].items == 40
    assert any("chat_template_sha differs" in note for note in found.notes)


def test_missing_items(tmp_path: Path) -> None:
    """Items that one model lacks are left out of its pair only, and how many is said."""
    whole = np.array(HALF, dtype=float)
    gaps = np.where(np.arange(40) < 3, np.nan, whole)
    path = write_scores(tmp_path / "s.csv", {"a": whole, "b": gaps, "c": whole})
    found = compare([path])
    assert [pair.items for pair in found.contrasts] == [37, 40]
    assert found.models["b"]["score"].missing == 3
    assert "score: a has a score for 40 items, b for 37; compared on the 37 common ones" in (
        found.notes
    )


def test_scores_of_any_range(tmp_path: Path) -> None:
    """Scores beyond 0 and 1 are taken as from the lowest to the highest, which is said."""
    rng = np.random.default_rng(0)
    a = rng.integers(1, 11, 60).astype(float)
    path = write_scores(
        tmp_path / "s.csv", {"a": a, "b": np.clip(a + rng.choice([0, 1], 60), 1, 10)}
    )
    found = compare([path])
    (pair,) = found.contrasts
    info = found.tasks["score"]
    assert (info.bounds, info.unit) == ((1, 10), "score")
    assert 0.2 < pair.difference < 0.7
    assert pair.ci is not None
    assert pair.ci[0] < pair.difference < pair.ci[1]
    assert any("taken as their range (--bounds)" in note for note in found.notes)
    assert compare([path], bounds=(0, 10)).contrasts[0].difference == pytest.approx(pair.difference)
    with pytest.raises(DataError, match=r"scores from 0 to 5 are required \(seen: 1 to 10\)"):
        compare([path], bounds=(0, 5))
    with pytest.raises(SpecError, match="the lowest score, then the highest"):
        compare([path], bounds=(5, 0))


def test_languages(tmp_path: Path) -> None:
    """With a column for the language, the difference in each is there too."""
    rows = ["id,model,score,language"]
    rows += [f"{n},{m},{int(n % 3 > 0 or (m == 'b' and n % 2))},{('en', 'hi')[n % 2]}"
             for m in ("a", "b") for n in range(120)]  # fmt: skip
    path = tmp_path / "s.csv"
    path.write_text("\n".join(rows) + "\n")
    (pair,) = compare([path]).contrasts
    assert pair.by_language["en"].difference == 0
    assert pair.by_language["hi"].difference == pytest.approx(1 / 3)
    assert pair.by_language["hi"].n == 60


def test_a_family_with_gaps(tmp_path: Path) -> None:
    """A task that only one model has is left out and named; without any other it is an error."""
    write_lm_eval(tmp_path, "base", {"sums": HALF, "facts": HALF})
    write_lm_eval(tmp_path, "tuned", {"sums": MOST})
    found = compare([tmp_path])
    assert [pair.axis for pair in found.contrasts] == ["sums"]
    assert "facts: only base was evaluated on it; not compared" in found.notes
    write_lm_eval(tmp_path / "more", "other", {"law": HALF})
    with pytest.raises(DataError, match=r"No other model was evaluated on a task of other"):
        compare([tmp_path], baseline="other")


@pytest.mark.parametrize(
    ("scores", "how", "said"),
    [
        ({"a": HALF}, {}, "at least two models are required"),
        ({"a": HALF, "b": HALF}, {"only": ["gsm8k"]}, "no scores of the task gsm8k"),
    ],
)
def test_too_little(tmp_path: Path, scores: dict[str, Any], how: dict[str, Any], said: str) -> None:
    """One model, or a task that is not there, is refused."""
    path = write_scores(tmp_path / "s.csv", {m: np.array(own) for m, own in scores.items()})
    with pytest.raises(DataError, match=said):
        compare([path], **how)


def test_names_that_do_not_fit(tmp_path: Path) -> None:
    """One name for several models, and logs of other metrics, are refused."""
    path = write_scores(tmp_path / "s.csv", {"a": np.array(HALF), "b": np.array(HALF)})
    with pytest.raises(SpecError, match=r"one name is given, and there are 2 models \(a, b\)"):
        compare([f"x={path}"])
    write_lm_eval(tmp_path, "base", {"sums": HALF})
    write_lm_eval(tmp_path, "tuned", {"sums": MOST}, metric="em")
    with pytest.raises(DataError, match=r"one metric is required \(seen: acc and em, "):
        compare([tmp_path / "base", tmp_path / "tuned"])


def test_an_item_in_two_clusters(tmp_path: Path) -> None:
    """Logs that put an item into different clusters are refused."""
    path = tmp_path / "s.csv"
    path.write_text("id,model,score,cluster\n1,a,1,x\n2,a,0,x\n1,b,1,y\n2,b,0,x\n")
    with pytest.raises(DataError, match=r"the item '1' has one cluster .seen: 'x' and 'y'"):
        compare([path])


def test_items_without_a_cluster(tmp_path: Path) -> None:
    """Items that no log puts into a cluster are their own, which is said."""
    for name, rows in (("a", "1,1,x\n2,0,x\n3,1,y\n"), ("b", "1,1,x\n2,1,x\n4,1,z\n")):
        (tmp_path / f"{name}.csv").write_text("id,score,cluster\n" + rows)
    (tmp_path / "c.csv").write_text("id,score\n1,0\n2,1\n5,1\n")
    found = compare([tmp_path / f"{name}.csv" for name in "abc"])
    assert [pair.n for pair in found.contrasts] == [1, 1]
    assert "score: 1 items have no cluster, so each of them is its own" in found.notes


def test_many_comparisons_can_be_shown(tmp_path: Path) -> None:
    """Random signs do not bound p-values above what a large family needs."""
    rng = np.random.default_rng(1)
    base = rng.random(60)
    scores = {"base": base} | {f"m{k}": np.clip(base + rng.normal(0.1, 0.1, 60), 0, 1)
                               for k in range(120)}  # fmt: skip
    found = compare([write_scores(tmp_path / "s.csv", scores)])
    assert {pair.verdict for pair in found.contrasts} == {"better"}


def test_the_order_of_logs_does_not_matter(tmp_path: Path) -> None:
    """Turning the models turns the sign and nothing else."""
    write_lm_eval(tmp_path, "base", {"sums": HALF})
    write_lm_eval(tmp_path, "tuned", {"sums": MOST})
    (one,) = compare([tmp_path]).contrasts
    (other,) = compare([tmp_path], baseline="tuned").contrasts
    assert other.difference == -one.difference
    assert (other.p, other.se) == (one.p, one.se)
    assert len(read_logs(tmp_path, Asked())) == 2
