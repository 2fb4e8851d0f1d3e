"""The testbed's base models, which are shipped with the package."""

from importlib.resources import as_file, files
from pathlib import Path
from shutil import copyfile

from mixmerge.files import whole_folder
from mixmerge.testbed.world import DEFAULT

WEIGHTS = "model.safetensors"

TESTBED = "testbed"

BASES = {TESTBED: "aligned", f"{TESTBED}/conflict": "aligned", f"{TESTBED}/cliff": "cliff"}
"""The shipped weights by the name of the base model in a study."""


def weights_folder(name: str) -> Path:
    """Return the folder of one of the shipped models."""
    return Path(__file__).parent / "weights" / name


def write_model(out: Path, name: str = DEFAULT) -> None:
    """Write a base model as an ordinary Hugging Face folder with float32 weights.

    The shipped weights are float16 to save space; the conversion is exact. An existing folder is
    replaced.

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
