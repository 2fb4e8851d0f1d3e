"""The journal keeps what was finished, whatever killed the writer."""

from pathlib import Path

import pytest

from mixmerge.evaluate.journal import Journal


def test_reads_back_what_was_appended(tmp_path: Path) -> None:
    """A new journal on the same file has the same finished work."""
    with Journal(tmp_path / "j") as journal:
        journal.append("a", {"text": "नमस्ते\n"})
        journal.append("b", [1, 2])
    with Journal(tmp_path / "j") as journal:
        assert journal.finished == {"a": {"text": "नमस्ते\n"}, "b": [1, 2]}


def test_appended_work_is_on_file_before_closing(tmp_path: Path) -> None:
    """What was appended is readable at once: a kill after it loses nothing."""
    with Journal(tmp_path / "j") as journal:
        journal.append("a", 1)
        assert (tmp_path / "j").read_bytes() == b'["a", 1]\n'


@pytest.mark.parametrize("torn", [b'["b", {"te', b'["b", 2]', b"\xff\xfe"])
def test_a_torn_last_line_is_cut_off(tmp_path: Path, torn: bytes) -> None:
    """Half a line is forgotten, what stands before it is kept, and appending goes on after it."""
    (tmp_path / "j").write_bytes(b'["a", 1]\n' + torn)
    with Journal(tmp_path / "j") as journal:
        assert journal.finished == {"a": 1}
        journal.append("c", 3)
    assert (tmp_path / "j").read_bytes() == b'["a", 1]\n["c", 3]\n'
