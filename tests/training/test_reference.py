"""The cache of reference log-probabilities."""

from pathlib import Path

import numpy as np

from mixmerge.training.reference import ReferenceCache

NAMES = ("ref_chosen_logps", "ref_rejected_logps")


def test_the_reference_cache_returns_what_was_kept(tmp_path: Path) -> None:
    """Values come back for the same model and rows, and for no others."""
    columns = {"prompt_ids": [[1], [2]], "chosen_ids": [[3], [4]], "rejected_ids": [[5], [6]]}
    values = {name: np.array([-1.5, -2.5], dtype=np.float32) for name in NAMES}
    cache = ReferenceCache(NAMES, tmp_path, "model", columns, "float32")
    assert cache.load() is None
    cache.save(values)
    again = ReferenceCache(NAMES, tmp_path, "model", columns, "float32")
    kept = again.load()
    assert kept is not None
    assert again.reused
    assert all(np.array_equal(kept[name], values[name]) for name in NAMES)
    other_rows = {**columns, "rejected_ids": [[5], [7]]}
    assert ReferenceCache(NAMES, tmp_path, "model", other_rows, "float32").load() is None
    assert ReferenceCache(NAMES, tmp_path, "other", columns, "float32").load() is None


def test_a_damaged_reference_cache_is_computed_anew(tmp_path: Path) -> None:
    """A file that cannot be read counts as absent."""
    columns = {"prompt_ids": [[1]], "chosen_ids": [[3]], "rejected_ids": [[5]]}
    cache = ReferenceCache(NAMES, tmp_path, "model", columns, "float32")
    cache.save({name: np.zeros(1, dtype=np.float32) for name in NAMES})
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:20])
    assert cache.load() is None
