"""The page of samples as a file: what is packed comes back, within limits, and stays data."""

import base64
import json
import math
import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mixmerge.records.results import AxisInfo
from mixmerge.reporting.samples import (
    Limits,
    SampleAnswer,
    SampleItem,
    SampleModel,
    Samples,
    outcome_in_words,
    write_samples,
)

HOSTILE = "</script><script>alert(1)</script><!-- {{ 7 * 7 }} \x1e\x1f \u2028"
RATE = AxisInfo(
    measure="rate", title="harmful answers", phrase="the share", better="lower", primary=True,
    unit="percent", bounds=(0, 1),
)  # fmt: skip


def unpacked(page: Path) -> tuple[dict[str, Any], list[list[str]]]:
    """Read a page's head and the texts of each item, as its script does."""
    text = page.read_text(encoding="utf-8")
    found = re.findall(
        r'<script type="text/plain" (?:id="head"|class="block")>(.*?)</script>', text
    )
    head, *blocks = [zlib.decompress(base64.b64decode(block)).decode() for block in found]
    items = [item.split("\x1f") for block in blocks for item in block.split("\x1e")]
    return json.loads(head), items


def words(column: list[Any]) -> list[str | None]:
    """Return the words of a column with a dictionary."""
    return [None if place < 0 else column[0][place] for place in column[1]]


def samples(items: Iterable[SampleItem]) -> Samples:
    """Return samples of two models on two axes."""
    models = [SampleModel("a"), SampleModel("b", "merge", "merge: {}")]
    return Samples(models, {"safe": "lower", "good": "higher"}, items)


def many(count: int, text: str = "x" * 100) -> Iterator[SampleItem]:
    """Yield items with an answer of each model."""
    for number in range(count):
        answers = {"a": SampleAnswer(text, 1.0), "b": SampleAnswer(text, 0.0)}
        yield SampleItem("safe", f"q{number}", "?", answers)


def test_what_is_packed_comes_back(tmp_path: Path) -> None:
    """Every value is in the page, and an absent answer is told from an empty one."""
    items = [
        SampleItem(
            "safe", "1", "ما اسمك؟",
            {
                "a": SampleAnswer("", 1.0, "Harmful: yes", "bad", "high", "why"),
                "b": SampleAnswer("né", 0.25),
            },
            "ar", "names", "c1",
        ),
        SampleItem("good", "2", "two", {"b": SampleAnswer("🙂", math.nan, "Judge failed")}, "en"),
    ]  # fmt: skip
    assert write_samples(samples(items), tmp_path / "s.html", title="T") == ""
    head, texts = unpacked(tmp_path / "s.html")
    assert head["models"] == [["a", "given", ""], ["b", "merge", "merge: {}"]]
    assert head["axes"] == [["safe", "lower"], ["good", "higher"]]
    assert head["pair"] == [0, 1]
    assert texts == [["ما اسمك؟", "", "why", "né", ""], ["two", "", "", "🙂", ""]]
    assert words(head["id"]) == ["1", "2"]
    assert words(head["language"]) == ["ar", "en"]
    assert words(head["category"]) == ["names", ""]
    assert words(head["cluster"]) == ["c1", ""]
    assert words(head["outcome"]) == ["Harmful: yes", "0.25", None, "Judge failed"]
    assert words(head["tone"]) == ["bad", "", None, ""]
    assert words(head["severity"]) == ["high", "", None, ""]
    assert head["score"] == [1.0, 0.25, None, None]


def test_text_cannot_leave_its_element(tmp_path: Path) -> None:
    """Hostile text of every field is only in compressed blocks, and separators in it are shown."""
    answer = SampleAnswer(HOSTILE, 1.0, HOSTILE, "bad", HOSTILE, HOSTILE)
    item = SampleItem(HOSTILE, HOSTILE, HOSTILE, {HOSTILE: answer}, HOSTILE, HOSTILE, HOSTILE)
    data = Samples([SampleModel(HOSTILE, recipe=HOSTILE)], {HOSTILE: "higher"}, [item])
    write_samples(data, tmp_path / "s.html", title=HOSTILE, back='x" onclick="alert(1)')
    page = (tmp_path / "s.html").read_text(encoding="utf-8")
    assert "alert(1)</script>" not in page
    assert 'onclick="' not in page
    assert page.count("<script") == page.count("</script>") == 3
    head, texts = unpacked(tmp_path / "s.html")
    shown = HOSTILE.replace("\x1e", "␞").replace("\x1f", "␟")
    assert texts == [[shown, shown, shown]]
    assert words(head["severity"]) == [HOSTILE]


def test_half_a_letter_is_written(tmp_path: Path) -> None:
    """An answer that ends within a pair of surrogates does not stop the page."""
    item = SampleItem("safe", "\ud83d", "?", {"a": SampleAnswer("cut \ud83d")})
    write_samples(samples([item]), tmp_path / "s.html", title="T")
    assert unpacked(tmp_path / "s.html")[1] == [["?", "cut ?", "", "", ""]]


def test_the_same_items_give_the_same_bytes(tmp_path: Path) -> None:
    """Two pages of the same items are equal, and so is a page of a generator."""
    pages = []
    for number, items in enumerate((list(many(50)), many(50))):
        write_samples(samples(items), tmp_path / f"{number}.html", title="T")
        pages.append((tmp_path / f"{number}.html").read_bytes())
    assert pages[0] == pages[1]


def test_a_large_study_is_sampled_and_says_so(tmp_path: Path) -> None:
    """Over a limit, about half of what fits or more is kept, by name, and the page says so."""
    limits = Limits(total=40_000)
    said = write_samples(samples(many(1000)), tmp_path / "s.html", title="T", limits=limits)
    head, texts = unpacked(tmp_path / "s.html")
    size = len("\x1f".join(("?", "x" * 100, "", "x" * 100, ""))) + 2 * 64
    assert 40_000 // size // 3 < len(texts) <= 40_000 // size
    assert said == head["left_out"]
    assert said.startswith(f"The page is limited in size: {len(texts)} of 1")
    reordered = samples(reversed(list(many(1000))))
    write_samples(reordered, tmp_path / "r.html", title="T", limits=limits)
    assert set(words(unpacked(tmp_path / "r.html")[0]["id"])) == set(words(head["id"]))


def test_the_number_of_items_is_limited(tmp_path: Path) -> None:
    """Many short items are a sample, too."""
    limits = Limits(items=100)
    write_samples(samples(many(1000, "x")), tmp_path / "s.html", title="T", limits=limits)
    assert 30 < len(unpacked(tmp_path / "s.html")[1]) <= 100


def test_long_texts_are_cut_and_counted(tmp_path: Path) -> None:
    """A text over the limit ends in an ellipsis, and the page says how many do."""
    limits = Limits(text=10)
    said = write_samples(samples(many(3, "y" * 11)), tmp_path / "s.html", title="T", limits=limits)
    assert said == "The page is limited in size: 6 long texts are cut at 10 characters."
    assert unpacked(tmp_path / "s.html")[1][0] == ["?", "y" * 10 + "…", "", "y" * 10 + "…", ""]


def test_blocks_hold_neighbouring_items(tmp_path: Path) -> None:
    """Texts of more than one block come back in order, with the first item of each block."""
    write_samples(samples(many(1500, "z" * 1500)), tmp_path / "s.html", title="T")
    head, texts = unpacked(tmp_path / "s.html")
    assert len(head["starts"]) == 3
    assert head["starts"][0] == 0
    assert len(texts) == 1500


@pytest.mark.parametrize(
    ("outcome", "score", "said"),
    [
        ("yes", None, ("Harmful: yes", "bad")),
        ("no", None, ("Harmful: no", "good")),
        ("win", None, ("Win over base", "good")),
        ("loss", None, ("Loss to base", "bad")),
        ("tie", None, ("Tie with base", "")),
        ("graded", 0.5, ("Grade 50.0\N{NARROW NO-BREAK SPACE}%", "")),
        ("error", None, ("Judge failed", "")),
        (None, None, ("Not judged", "")),
    ],
)  # fmt: skip
def test_outcomes_are_clear_by_themselves(
    outcome: Any, score: float | None, said: tuple[str, str]
) -> None:
    """An outcome names the axis's value or the comparison, and is good in the axis's direction."""
    assert outcome_in_words(outcome, score, RATE) == said
