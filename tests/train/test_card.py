"""Model cards."""

from pathlib import Path

from mixmerge.train.card import parent_name


def test_cards_name_no_folder_of_the_machine(tmp_path: Path) -> None:
    """A parent is called by its own name or its hub name."""
    assert parent_name("CohereLabs/aya-23-8B") == "CohereLabs/aya-23-8B"
    assert parent_name(tmp_path / "runs" / "sft-abc" / "model") == "sft-abc"
    assert parent_name(str(tmp_path / "base")) == "base"
