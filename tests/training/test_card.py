"""Model cards."""

from pathlib import Path
from typing import Any

import yaml

from mixmerge.training import TrainSpec
from mixmerge.training.report import RowCounts, TrainReport, model_card, parent_name


def test_codes_of_languages_stay_texts() -> None:
    """YAML reads the languages of a card as they are, though a bare `no` means false."""
    counts = RowCounts(given=1, used=1, dropped=0)
    values: dict[str, Any] = dict.fromkeys(TrainReport.model_fields, 0) | {
        "rows": dict.fromkeys(["en", "no", "zh-TW"], counts),
        "versions": {},
        "left_out": {"too long": 2},
        "advice": (),
    }
    report = TrainReport.model_construct(**values)
    front = yaml.safe_load(model_card(TrainSpec(), report, "org/base").split("---")[1])
    assert front["language"] == ["en", "no", "zh-TW"]
    assert front["tags"] == ["mixmerge", "sft"]


def test_cards_name_no_folder_of_the_machine(tmp_path: Path) -> None:
    """A parent is called by its own name or its hub name."""
    assert parent_name("CohereLabs/aya-23-8B") == "CohereLabs/aya-23-8B"
    assert parent_name(tmp_path / "runs" / "sft-abc" / "model") == "sft-abc"
    assert parent_name(str(tmp_path / "base")) == "base"
