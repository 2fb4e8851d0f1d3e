"""The page with the items on which models differ."""

import base64
import json
import re
import zlib
from pathlib import Path

from tests.logs.made import write_lm_eval

from mixmerge import compare


def blocks(page: str) -> list[str]:
    """Return the texts that a page holds compressed."""
    found = re.findall(r'<script type="text/plain"[^>]*>([^<]+)</script>', page)
    return [zlib.decompress(base64.b64decode(each)).decode() for each in found]


def test_items_that_differ(tmp_path: Path) -> None:
    """Only items with other scores are on the page, with both answers and what was expected."""
    write_lm_eval(tmp_path, "base", {"sums": [1, 0] * 20})
    write_lm_eval(tmp_path, "tuned", {"sums": [1, 1, 1, 0] * 10})
    page = tmp_path / "page.html"
    compare([f"A={tmp_path / 'base'}", tmp_path / "tuned"], page=page)
    head, texts = blocks(page.read_text())
    assert json.loads(head)["pair"] == [1, 0]
    assert [name for name, *_ in json.loads(head)["models"]] == ["A", "tuned"]
    assert json.loads(head)["axes"] == [["sums", "higher"]]
    assert "Q: What is 1?" in texts
    assert "Expected: yes" in texts
    assert "base says 1" in texts
    assert "tuned says 1" in texts
    assert "What is 2?" not in texts
    assert texts.count("What is") == 10


def test_texts_of_a_table_whose_models_are_renamed(tmp_path: Path) -> None:
    """Answers are found although the model has another name on the page."""
    for name in ("one", "two"):
        rows = [f"{n},some model,{int(n % 2 == 0 or name == 'two')},{name} says {n}\n"
                for n in range(40)]  # fmt: skip
        (tmp_path / f"{name}.csv").write_text("id,model,score,response\n" + "".join(rows))
    page = tmp_path / "page.html"
    compare([tmp_path / "one.csv", f"B={tmp_path / 'two.csv'}"], page=page)
    _, texts = blocks(page.read_text())
    assert "one says 3" in texts
    assert "two says 3" in texts
