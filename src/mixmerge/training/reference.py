"""A cache of log-probabilities of rows under a reference model.

They depend only on the reference model and the tokens of the rows, so runs that differ in learning
rate, beta, length or seed share one file.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mixmerge import files
from mixmerge.fingerprint import fingerprint

LogProbs = dict[str, npt.NDArray[np.float32]]
"""By column, the log-probability of each row's answer in nats, shape ``(rows,)``."""


class ReferenceCache:
    """One file in a folder of reference log-probabilities; without a folder nothing is saved.

    ``names`` are the columns of the file, ``model`` is the fingerprint of the reference model's
    folder, ``columns`` has the rows' token ids, and ``precision`` includes the quantization.
    """

    def __init__(
        self,
        names: tuple[str, ...],
        folder: Path | None,
        model: str,
        columns: dict[str, list[Any]],
        precision: str,
    ) -> None:
        self.names = names
        self.rows = len(next(iter(columns.values())))
        self.reused = False
        key = fingerprint({"version": 1, "model": model, "rows": columns, "precision": precision})
        self._file = folder / f"{key[:32]}.safetensors" if folder else None

    def load(self) -> LogProbs | None:
        """Return the saved values, or None if there are none or the file is damaged."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        if self._file is None or not self._file.is_file():
            return None
        try:
            kept = load_file(self._file)
        except SafetensorError:
            return None
        if any(name not in kept or kept[name].shape != (self.rows,) for name in self.names):
            return None
        self.reused = True
        return {name: kept[name] for name in self.names}

    def save(self, values: LogProbs) -> None:
        """Save the values for later runs.

        Raises:
            ResourceError: the folder is not writable or the disk is full.
        """
        from safetensors.numpy import save

        if self._file is not None:
            content = {name: np.asarray(values[name], dtype=np.float32) for name in self.names}
            files.write_bytes(self._file, save(content))
