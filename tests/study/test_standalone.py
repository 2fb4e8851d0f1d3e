"""Tests of mixmerge.study.standalone: each part alone, from Python."""

import json
from pathlib import Path

import pytest

import mixmerge
from mixmerge.errors import SpecError


def test_paths_may_be_text(tmp_path: Path) -> None:
    """A specification is given as a file, by its path or the path's text."""
    rows = [{"prompt": f"What is {i}?", "answer": "A number.", "language": "en"} for i in range(20)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "a.jsonl").write_text(lines)
    spec = tmp_path / "mix.yaml"
    source = f"{{files: '{tmp_path / 'a.jsonl'}'}}"
    spec.write_text(f"sources: {{a: {source}}}\nshares: {{a: 1}}\nlanguages: [en]\nsize: 10\n")
    assert mixmerge.mix(str(spec), str(tmp_path / "out")) == mixmerge.mix(spec, tmp_path / "out")
    for part in (mixmerge.train, mixmerge.evaluate):
        with pytest.raises(SpecError, match=r"none\.yaml: no such file"):
            part(str(tmp_path / "none.yaml"), str(tmp_path / "out"))
