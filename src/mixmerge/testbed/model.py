"""The base model of the testbed, shipped with the package."""

from importlib.resources import as_file, files
from pathlib import Path
from shutil import copyfile

from mixmerge.files import whole_folder

WEIGHTS = "model.safetensors"


def write_model(out: Path) -> None:
    """Write the base model as an ordinary Hugging Face folder, weights in float32.

    The package holds the weights in float16 for their size; float32 is what a CPU trains in, and
    float16 is exact in it, so nothing is lost or added on the way. An older folder is replaced.

    Raises:
        ResourceError: the disk is full or the folder is not writable.
    """
    import numpy as np
    from safetensors.numpy import load_file, save_file

    with (
        as_file(files("mixmerge.testbed").joinpath("weights")) as shipped,
        whole_folder(out) as folder,
    ):
        for file in sorted(shipped.iterdir()):
            if file.name != WEIGHTS:
                copyfile(file, folder / file.name)
        weights = load_file(shipped / WEIGHTS)
        whole = {name: weight.astype(np.float32) for name, weight in weights.items()}
        save_file(whole, folder / WEIGHTS, metadata={"format": "pt"})
