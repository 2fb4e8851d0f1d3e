"""The built wheel is the whole package and nothing else, and works where only it is installed."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
from safetensors.numpy import load_file

ROOT = Path(__file__).parents[2]
WRITE_MODELS = """
from pathlib import Path

import mixmerge
from mixmerge.testbed.model import write_model

assert Path(mixmerge.__file__).is_relative_to(Path.cwd() / "venv"), mixmerge.__file__
for name in ("a", "b"):
    write_model(Path(name))
"""
RECIPE = """
merge_method: linear
models:
  - {model: a, parameters: {weight: 0.5}}
  - {model: b, parameters: {weight: 0.5}}
dtype: float32
"""


def run(*command: str | Path, folder: Path) -> str:
    """Run a program that knows nothing of this checkout; return what it prints."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def pip(*arguments: str | Path, folder: Path) -> None:
    """Run pip without a network."""
    quiet = ("--disable-pip-version-check", "--quiet", "--no-input")
    run(sys.executable, "-m", "pip", *quiet, *arguments, folder=folder)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "--no-index", "--no-build-isolation", ROOT, folder=folder)
    (built,) = folder.glob("mixmerge-*.whl")
    return built


def test_the_wheel_holds_the_package_alone(wheel: Path) -> None:
    """Every file of `src/mixmerge` is in it, data too; tests, paper and tools are not."""
    names = set(zipfile.ZipFile(wheel).namelist())
    package = {name for name in names if ".dist-info/" not in name}
    source = ROOT / "src"
    assert package == {
        str(path.relative_to(source))
        for path in (source / "mixmerge").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    for part in (
        "reporting/templates/report.html.j2",
        "reporting/static/report.css",
        "evaluation/rubrics/comparison@2.txt",
        "testbed/world/facts.json",
        "testbed/weights/aligned/model.safetensors",
        "testbed/weights/cliff/model.safetensors",
        "py.typed",
    ):
        assert f"mixmerge/{part}" in package
    assert {name.split("/")[0].split("-")[0] for name in names} == {"mixmerge"}


def test_an_installed_wheel_shows_help_and_merges(wheel: Path, tmp_path: Path) -> None:
    """In an environment with nothing but the wheel and what it needs, the command works."""
    venv.create(tmp_path / "venv", symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    pip("--python", python, "install", "--no-deps", "--no-index", wheel, folder=tmp_path)
    site = run(python, "-c", "import site; print(site.getsitepackages()[0])", folder=tmp_path)
    # The dependencies of this interpreter; a path that is named here is not searched for .pth
    # files, so the editable mixmerge is not among them.
    needed = f"{sysconfig.get_path('purelib')}\n{sysconfig.get_path('platlib')}\n"
    (Path(site.strip()) / "dependencies.pth").write_text(needed)
    command = python.with_name("mixmerge")
    assert "merge" in run(command, "--help", folder=tmp_path)
    run(python, "-c", WRITE_MODELS, folder=tmp_path)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    run(command, "merge", "recipe.yaml", "out", folder=tmp_path)
    merged, parent = (load_file(tmp_path / name / "model.safetensors") for name in ("out", "a"))
    assert merged.keys() == parent.keys()
    assert all((merged[name] == parent[name]).all() for name in parent)
