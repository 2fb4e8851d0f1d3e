"""Tests of mixmerge.study.spec_file: study files that extend others."""

from pathlib import Path

import pytest

from mixmerge.errors import SpecError
from mixmerge.study.check import parse_study, read_study, whole_text
from mixmerge.study.spec_file import read_extended

SMALL = Path(__file__).parents[1] / "data" / "small.yaml"


def files(folder: Path, **texts: str) -> Path:
    """Write study files; return the folder's `study.yaml`."""
    (folder / "small.yaml").write_text(SMALL.read_text())
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder / "study.yaml"


def test_sections_are_joined_name_by_name(tmp_path: Path) -> None:
    """A new checkpoint stands beside the inherited ones; a named one is replaced whole."""
    text = (
        "extends: small.yaml\nlanguages: [fr]\ncheckpoints:\n"
        "  sft-0: {train: sft, mixture: safety-15}\n"
        "  sft-soup: {merge: {method: linear, models: [sft-0, sft-15]}}\n"
    )
    study, below = read_study(files(tmp_path, study=text)), read_study(SMALL)
    assert list(study.checkpoints) == [*below.checkpoints, "sft-soup"]
    assert study.checkpoints["sft-0"] == below.checkpoints["sft-15"]
    assert study.checkpoints["sft-100"] == below.checkpoints["sft-100"]
    assert study.languages == ["fr"]
    assert (study.study, study.extends) == ("small", None)


def test_what_stands_at_a_name_is_replaced_whole(tmp_path: Path) -> None:
    """A recipe that is written again keeps no setting of the inherited one."""
    text = "extends: small.yaml\ntraining:\n  sft: {method: sft, max_steps: 3}\n"
    recipe = read_study(files(tmp_path, study=text)).training["sft"]
    assert (recipe.max_steps, recipe.epochs, recipe.learning_rate) == (3, None, 2e-5)


def test_the_last_of_several_files_wins(tmp_path: Path) -> None:
    """Several files are put over each other in order, the extending file over all."""
    path = files(tmp_path, study="extends: [small.yaml, a.yaml, b.yaml]\n",
                 a="seed: 5\nstudy: a\n", b="study: b\n")  # fmt: skip
    study = read_study(path)
    assert (study.seed, study.study) == (5, "b")


def test_a_file_may_extend_one_that_extends(tmp_path: Path) -> None:
    """Inheritance goes on, each path relative to the file that names it."""
    (tmp_path / "below").mkdir()
    files(tmp_path / "below", middle="extends: small.yaml\nseed: 9\n")
    (tmp_path / "study.yaml").write_text("extends: below/middle.yaml\nstudy: top\n")
    assert read_study(tmp_path / "study.yaml").seed == 9


def test_a_mistake_is_named_with_the_file_that_makes_it(tmp_path: Path) -> None:
    """An inherited mistake has the line of the inherited file, an own one that of the own file."""
    path = files(tmp_path, study="extends: small.yaml\nevaluate: {baseline: [sft-16]}\n")
    with pytest.raises(SpecError, match=r"study\.yaml, line 2: evaluate\.baseline\.0: there is no"):
        read_study(path)
    broken = SMALL.read_text().replace("sft-0: {train: sft,", "sft-0: {train: stf,")
    (tmp_path / "small.yaml").write_text(broken)
    with pytest.raises(SpecError, match=r"small\.yaml, line 21: checkpoints\.sft-0\.train"):
        read_study(path)


def test_a_replaced_value_does_not_point_into_the_old_file(tmp_path: Path) -> None:
    """A key that is missing where something was replaced is missed in the extending file."""
    path = files(
        tmp_path, study="extends: small.yaml\nmixtures:\n  safety-0: {shares: {safety: 1}}"
    )
    with pytest.raises(SpecError, match=r"study\.yaml, line 3: mixtures\.safety-0\.size: .*requir"):
        read_study(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "extends: smal.yaml",
            r"study\.yaml, line 1: extends: .*smal\.yaml: no such file\. .*mall",
        ),
        ("study: a\nextends: 3", r"line 2: extends: expected a file or a list .*seen: 3"),
        ("extends: study.yaml", r"line 1: extends: files extend each other: .*study\.yaml → "),
        ("extends: other.yaml", r"other\.yaml, line 1: extends: files extend each other"),
    ],
    ids=["missing", "number", "itself", "circle"],
)
def test_a_wrong_extends_is_explained(tmp_path: Path, text: str, message: str) -> None:
    """A file that cannot be extended is named with the line that asks for it."""
    path = files(tmp_path, study=text, other="extends: study.yaml")
    with pytest.raises(SpecError, match=message):
        read_extended(path)


def test_text_alone_cannot_extend() -> None:
    """A text that is not a file has no folder in which to look."""
    with pytest.raises(SpecError, match="line 1: extends: only a file can extend others"):
        parse_study(f"extends: small.yaml\n{SMALL.read_text()}", "text")


def test_the_whole_text_stands_alone(tmp_path: Path) -> None:
    """The text kept beside a run reads back as the same study, wherever it lies."""
    path = files(tmp_path, study="extends: small.yaml\nreport: {title: '1e-5'}\nlanguages: [no]\n")
    text = whole_text(path)
    assert parse_study(text, "text") == read_study(path)
    assert whole_text(SMALL) == SMALL.read_text()


def test_every_file_is_read_once(tmp_path: Path) -> None:
    """Files that are named twice at each of thirty steps are not read a billion times."""
    files(tmp_path, f0="extends: small.yaml\nseed: 7\n")
    for number in range(1, 30):
        below = f"f{number - 1}.yaml"
        (tmp_path / f"f{number}.yaml").write_text(f"extends: [{below}, {below}]\n")
    assert read_study(tmp_path / "f29.yaml").seed == 7


def test_of_a_file_named_twice_the_last_place_counts(tmp_path: Path) -> None:
    """It lies over what stands between."""
    path = files(tmp_path, study="extends: [small.yaml, a.yaml, b.yaml, a.yaml]\n",
                 a="seed: 5\n", b="seed: 6\n")  # fmt: skip
    assert read_study(path).seed == 5


def test_a_long_row_of_files_is_refused(tmp_path: Path) -> None:
    """Each of them is open while the next is read."""
    files(tmp_path, f0="seed: 7\n")
    for number in range(1, 60):
        (tmp_path / f"f{number}.yaml").write_text(f"extends: f{number - 1}.yaml\n")
    with pytest.raises(SpecError, match="more than 50 files extend each other in a row"):
        read_extended(tmp_path / "f59.yaml")


def test_a_name_too_long_for_a_file_is_none(tmp_path: Path) -> None:
    """The system refuses even to look for it."""
    with pytest.raises(SpecError, match=r"line 1: extends: .*no such file"):
        read_extended(files(tmp_path, study=f"extends: {'x' * 5000}\n"))
