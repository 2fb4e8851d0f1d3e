"""`mixmerge inspect` as a person or a script sees it."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import mixmerge
from mixmerge.cli.main import exit_code
from mixmerge.merging.inspection.figure import draw
from mixmerge.merging.inspection.inspect import inspect
from mixmerge.merging.inspection.result import Inspection

SHAPES = {
    "model.embed_tokens.weight": (6, 4),
    "model.layers.0.self_attn.q_proj.weight": (4, 4),
    "model.layers.0.mlp.up_proj.weight": (8, 4),
    "model.layers.1.self_attn.q_proj.weight": (4, 4),
    "model.layers.1.mlp.up_proj.weight": (8, 4),
    "model.norm.weight": (4,),
}


def write_model(folder: Path, seed: int, size: float, **config: Any) -> str:
    """Write a model that differs from the others by random numbers of a size."""
    folder.mkdir()
    base, own = np.random.default_rng(0), np.random.default_rng(seed)
    tensors = {
        name: torch.tensor(base.standard_normal(shape) + size * own.standard_normal(shape))
        for name, shape in SHAPES.items()
    }
    save_file(
        {name: tensor.float() for name, tensor in tensors.items()}, folder / "model.safetensors"
    )
    (folder / "config.json").write_text(
        json.dumps({"model_type": "toy", "architectures": ["Toy"], **config})
    )
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"vocab": {"x": 0, "y": 1}}}))
    return str(folder)


@pytest.fixture
def family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a base and two fine-tunes of it, in a working directory with a wide terminal."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    return [
        write_model(tmp_path / name, seed, 0.02 * seed)
        for seed, name in enumerate(("base", "one", "two"))
    ]


def test_the_tables_show_sizes_conflicts_and_verdicts(
    family: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """With a base there is a row for each layer and kind, and the numbers are the function's."""
    base, one, two = family
    assert exit_code(["inspect", one, two, "--base", base]) == 0
    said = capsys.readouterr().out
    for label in ("layer 0", "layer 1", "embedding", "attention", "mlp", "norm", "whole"):
        assert f"│ {label} " in said
    found = inspect([Path(one), Path(two)], base=Path(base)).comparison
    assert found is not None
    (between,) = found.whole.interferences
    assert f"{found.whole.differences[0].relative_size:.2%}" in said
    assert f"{between.cosine:+.4f}" in said
    assert f"{between.opposed:.1%}" in said
    assert f"{between.cancelled:.1%}" in said
    assert said.count("sibling") == 3
    assert f"{found.whole.differences[2].straight} of 6" in said
    assert said.endswith("These models can be merged.\n")


def test_without_a_base_weights_are_compared(
    family: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Two models are compared with each other; conflicts need a base and are not shown."""
    assert exit_code(["inspect", *family[1:]]) == 0
    said = capsys.readouterr().out
    assert "one · two" in said
    assert "Size of the difference, relative to the first model, and cosine of the weights" in said
    assert "conflict" not in said


def test_many_pairs_have_a_row_each(
    family: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Four models have six pairs, which stand for the whole model, not by layer."""
    family += [
        write_model(tmp_path / name, seed, 0.1) for seed, name in ((3, "three"), (4, "four"))
    ]
    assert exit_code(["inspect", *family[1:], "--base", family[0]]) == 0
    between = capsys.readouterr().out.split("Between the changes")[1].split("How the")[0]
    assert between.count(" · ") == 6
    assert "layer 0" not in between


def test_json_is_the_inspection(family: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """`--json` prints one document, from which the inspection can be read."""
    base, one, two = family
    assert exit_code(["inspect", one, two, "--base", base, "--json"]) == 0
    found = Inspection.model_validate_json(capsys.readouterr().out)
    assert found == inspect([Path(one), Path(two)], base=Path(base))


def test_models_that_do_not_fit_give_exit_code_2(
    family: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Problems are listed and the exit code is 2, as a table and as JSON."""
    other = write_model(tmp_path / "other", 1, 0.1, model_type="else")
    assert exit_code(["inspect", family[1], other]) == 2
    said = capsys.readouterr().out
    assert "cannot merge: config.json: model_type is toy in one and else in other" in said
    assert "stranger" in said
    assert exit_code(["inspect", family[1], other, "--json"]) == 2
    assert len(json.loads(capsys.readouterr().out)["problems"]) == 1


def test_strangers_are_warned_of(
    family: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Models that fit but have nothing in common can be merged, to no use."""
    assert exit_code(["inspect", family[1], write_model(tmp_path / "far", 9, 50.0)]) == 0
    assert "some have nothing in common: a merge is noise" in capsys.readouterr().out


def test_headers_only_shows_no_comparison(
    family: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Without weights there are only the models, and whether they fit."""
    assert exit_code(["inspect", *family[1:], "--headers-only"]) == 0
    said = capsys.readouterr().out
    assert "sibling" not in said
    assert said.endswith("These models can be merged.\n")


@pytest.mark.parametrize(
    ("suffix", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")]
)
def test_the_figure_is_written(
    suffix: str, start: bytes, family: list[str], tmp_path: Path
) -> None:
    """The figure's suffix is its format, and the same models give the same bytes."""
    found = inspect([Path(each) for each in family[1:]], base=Path(family[0]))
    files = [tmp_path / f"{name}.{suffix}" for name in ("first", "second")]
    for file in files:
        draw(found, file)
    assert files[0].read_bytes().startswith(start)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_the_figure_names_its_panels_and_lines(
    family: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a base there are sizes, cosines and conflicts; without, sizes and cosines."""
    base, one, two = family
    assert exit_code(["inspect", one, two, "--base", base, "--figure", "a.svg"]) == 0
    assert "figure: a.svg" in capsys.readouterr().out
    drawn = (tmp_path / "a.svg").read_text()
    for text in (
        "relative to base",
        "Cosine of the changes",
        "Sign conflict",
        "one · two",
        "Layer of",
    ):
        assert text in drawn
    assert exit_code(["inspect", one, two, "--figure", "b.svg"]) == 0
    drawn = (tmp_path / "b.svg").read_text()
    assert "Cosine of the weights (dashed: SLERP is linear above)" in drawn
    assert "Sign conflict" not in drawn


def test_nothing_in_common_is_not_drawn(
    family: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Models without a common tensor get their problems, and no figure."""
    other = tmp_path / "other"
    shutil.copytree(family[0], other)
    save_file({"w": torch.zeros(3)}, other / "model.safetensors")
    assert exit_code(["inspect", family[0], str(other), "--figure", "f.png"]) == 2
    said = capsys.readouterr().out
    assert "cannot merge: tensor w is in other and not in base" in said
    assert "figure" not in said
    assert not (tmp_path / "f.png").exists()


def test_names_in_any_script_can_be_drawn(family: list[str], tmp_path: Path) -> None:
    """A name that the font cannot write is no reason for a warning."""
    named = tmp_path / "模型$x$"
    shutil.copytree(family[1], named)
    draw(inspect([named, family[2]]), tmp_path / "f.svg")
    assert "模型$x$" in (tmp_path / "f.svg").read_text()


def test_equal_models_can_be_drawn(family: list[str], tmp_path: Path) -> None:
    """Where nothing changed there are no ratios to draw, and that is no fault."""
    same = [Path(family[0])] * 5
    draw(inspect(same, base=same[0]), tmp_path / "a.png")
    draw(inspect(same), tmp_path / "b.png")
    assert (tmp_path / "a.png").stat().st_size > 10_000
    assert (tmp_path / "b.png").stat().st_size > 10_000


def test_the_commands_and_the_functions_arguments_agree() -> None:
    """What the command takes, the function takes under the same name; JSON is a form of output."""
    from inspect import signature

    from mixmerge.cli.inspect import inspect as command

    assert set(signature(command).parameters) - {"json"} == set(
        signature(mixmerge.inspect).parameters
    ) - {"progress"}
