"""The base models of the testbed's worlds, shipped with the package."""

from importlib.resources import as_file, files
from pathlib import Path
from shutil import copyfile

from mixmerge.files import whole_folder
from mixmerge.testbed.world import DEFAULT

WEIGHTS = "model.safetensors"

TESTBED = "testbed"

BASES = {
    TESTBED: "aligned",
    f"{TESTBED}/conflict": "aligned",
    f"{TESTBED}/cliff": "cliff",
}
"""Which of the shipped weights a study's base model is."""


def weights_folder(name: str) -> Path:
    """Return the folder of one of the shipped models."""
    return Path(__file__).parent / "weights" / name


def write_model(out: Path, name: str = DEFAULT) -> None:
    """Write a base model as an ordinary Hugging Face folder, weights in float32.

    The package holds the weights in float16 for their size; float32 is what a CPU trains in, and
    float16 is exact in it, so nothing is lost or added on the way. An older folder is replaced.

    Raises:
        ResourceError: the disk is full or the folder is not writable.
    """
    import numpy as np
    from safetensors.numpy import load_file, save_file

    with (
        as_file(files("mixmerge.testbed").joinpath("weights", name)) as shipped,
        whole_folder(out) as folder,
    ):
        for file in sorted(shipped.iterdir()):
            if file.name != WEIGHTS:
                copyfile(file, folder / file.name)
        weights = load_file(shipped / WEIGHTS)
        whole = {name: weight.astype(np.float32) for name, weight in weights.items()}
        save_file(whole, folder / WEIGHTS, metadata={"format": "pt"})
