"""Small copies of published data sets in the layout of their repositories."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import pytest
import yaml

Rows = Sequence[dict[str, Any]]
WriteSet = Callable[[Mapping[str, Rows]], Path]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `datasets` keep its cache in the test's folder and never ask the network."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.fixture
def write_set(tmp_path: Path) -> WriteSet:
    """Return a function that writes a repository of Parquet files, one configuration a folder."""

    def write(configs: Mapping[str, Rows]) -> Path:
        folder = tmp_path / "set"
        card = []
        for name, rows in configs.items():
            (folder / name).mkdir(parents=True)
            file = folder / name / "test-00000-of-00001.parquet"
            datasets.Dataset.from_list(list(rows)).to_parquet(str(file))
            files = [{"split": "test", "path": f"{name}/test-*"}]
            card.append({"config_name": name, "data_files": files})
        (folder / "README.md").write_text(f"---\n{yaml.safe_dump({'configs': card})}---\n# Card\n")
        return folder

    return write
