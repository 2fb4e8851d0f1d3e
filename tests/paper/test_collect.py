"""Tests of paper: from run folders to findings, and the measures of mechanisms."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from paper.collect import findings
from paper.measure import mechanisms
from paper.seeds import SeedRun
from safetensors.numpy import save_file

from mixmerge.errors import DataError
from mixmerge.files import write_json, write_rows
from mixmerge.records import Verdict
from mixmerge.study.check import parse_study
from mixmerge.study.spec import Study

SMALL = Path(__file__).parents[1] / "data" / "small.yaml"
WORDS = {"w": "win", "t": "tie", "l": "loss", "y": "yes", "n": "no"}


def study() -> Study:
    """The small study with a sweep."""
    sweep = (
        "  sft-linear:\n    merge: {method: linear, models: [sft-0, sft-100]}\n"
        "    sweep: {weight_of: sft-100, values: [0.5, [0, 1]]}\n\nevaluate:"
    )
    text = SMALL.read_text().replace("\nevaluate:", sweep)
    items = "selection: {prompts: {general: {testbed: general}, safety: {testbed: safety}}}\n"
    return parse_study(text + items, "study.yaml")


def judged(folder: Path, general: str, safety: str) -> Path:
    """Write verdicts: a letter for each of two languages of each question."""
    for axis, letters in (("general", general), ("safety", safety)):
        rows = [
            Verdict.model_validate(
                {"prompt": f"p{place}", "cluster": f"c{place // 2}", "axis": axis,
                 "language": ("en", "fr")[place % 2], "judge": "rules@1",
                 "outcome": WORDS[letter]}
            )
            for place, letter in enumerate(letters)
        ]  # fmt: skip
        if rows:
            write_rows(folder / f"{axis}.jsonl", rows)
    return folder


def run(root: Path, seed: int, *, models: Sequence[str] = ("base", "sft-0", "sft-100")) -> SeedRun:
    """A seed's folder with verdicts of some models, of the sweep, and a choice."""
    safety = {"base": "y" * 24, "sft-0": "y" * 24, "sft-100": "n" * 24}
    general = {"base": "", "sft-0": "w" * 24, "sft-100": "l" * 20 + "t" * 4}
    folders = {
        f"judge/{name}": judged(root / str(seed) / name, general[name], safety[name])
        for name in models
    }
    for name in ("base", "sft-linear-0.5", "sft-linear-0_1"):
        letters = "" if name == "base" else "w" * 24
        place = root / str(seed) / f"{name}@selection"
        folders[f"judge/{name}@selection"] = judged(place, letters, "n" * 24)
    folders["select/sft-linear"] = root / str(seed) / "select"
    write_json(folders["select/sft-linear"] / "selection.json", {"winner": "sft-linear-0_1"})
    return SeedRun(seed, study(), folders, 1800.0)


def test_scores_of_all_seeds_are_stacked(tmp_path: Path) -> None:
    """Rates, languages and questions follow from the verdicts; the base against itself is a tie."""
    found = findings([run(tmp_path, 0), run(tmp_path, 1)], ["make paper"])
    assert found.test.estimate("general", {"base": 1.0}).value == 0.5
    assert found.test.estimate("general", {"sft-100": 1.0}).value == pytest.approx(2 / 24)
    difference = found.test.estimate("safety", {"sft-100": 1.0, "base": -1.0}, "fr")
    assert (difference.value, difference.n, difference.clusters) == (-1.0, 24, 12)
    assert (found.seeds, found.hours) == ([0, 1], 1.0)


def test_a_sweep_has_its_weights_and_choices(tmp_path: Path) -> None:
    """Each candidate keeps the weight that was tried, and each seed its choice."""
    found = findings([run(tmp_path, 0), run(tmp_path, 1)], [])
    sweep = found.sweeps["sft-linear"]
    assert sweep.weights == {"sft-linear-0.5": (0.5,), "sft-linear-0_1": (0.0, 1.0)}
    assert sweep.chosen == ["sft-linear-0_1"] * 2
    assert found.selection is not None
    assert found.selection.has(["sft-linear-0.5"])
    assert not found.test.has(["sft-linear-0.5"])


def test_a_model_that_a_seed_lacks_is_left_out_and_named(tmp_path: Path) -> None:
    """Only what every seed has is pooled; the rest is on record as unfinished."""
    found = findings([run(tmp_path, 0), run(tmp_path, 1, models=("base", "sft-0"))], [])
    assert not found.test.has(["sft-100"])
    assert found.unfinished.count("sft-100") == 1
    assert "sft-0" not in found.unfinished


def test_a_root_in_which_nothing_is_judged_is_refused(tmp_path: Path) -> None:
    """Without a model beside the base in every seed the message says what to do."""
    runs = [run(tmp_path, 0), run(tmp_path, 1, models=("base",))]
    with pytest.raises(DataError, match=r"judged in all 2 seed\(s\).* without `--page`"):
        findings(runs, [])
    with pytest.raises(DataError, match=r"judged in all 1 seed\(s\)"):
        findings([SeedRun(0, study(), {}, 0.0)], [])


def weights(root: Path, **tensors: np.ndarray) -> dict[str, Path]:
    """Write a model of one tensor for each name; return the folders of the steps."""
    folders = {}
    for name, tensor in tensors.items():
        step = "base/base" if name == "base" else f"train/{name.replace('_', '-')}"
        folders[step] = root / step
        (root / step / "model").mkdir(parents=True)
        save_file({"w": tensor.astype(np.float32)}, root / step / "model" / "model.safetensors")
    return folders


def test_mechanisms_are_what_numpy_says(tmp_path: Path) -> None:
    """Cosine, opposed signs, norm and effective rank of two known changes."""
    base = np.full((4, 4), 2.0)  # of norm 8
    first = np.eye(4)  # of full rank: four equal singular values
    second = np.zeros((4, 4))
    second[0] = [1.0, -3.0, 0.0, 0.0]  # of rank one; half of what both change opposes nothing
    second[1, 1] = -1.0
    run_ = SeedRun(
        0, study(), weights(tmp_path, base=base, sft_0=base + first, sft_100=base + second), 0.0
    )
    found = findings([run(tmp_path / "verdicts", 0)], [])
    (measured,) = mechanisms(run_, found)
    a, b = first.ravel(), second.ravel()
    expected = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    assert measured.pair == "sft"
    assert measured.values["cosine"] == pytest.approx(expected)
    assert measured.values["opposed signs"] == pytest.approx(0.5)
    sizes = (np.linalg.norm(a) + np.linalg.norm(b)) / 2 / 8
    assert measured.values["norm"] == pytest.approx(sizes)
    singular = np.linalg.svd(second, compute_uv=False)
    shares = singular[singular > 1e-9] / singular.sum()
    rank = np.exp(-(shares * np.log(shares)).sum()) / 4
    assert measured.values["effective rank"] == pytest.approx((1.0 + rank) / 2, rel=1e-5)
