"""The runs of words or characters that texts are compared by."""

import pytest
from tests.synthesis.filters.rows import HOSTILE

from mixmerge.synthesis.filters.duplicates import DuplicatesSpec
from mixmerge.synthesis.filters.shingles import words_of

THREE = DuplicatesSpec(words=3, characters=4)


def runs(text: str, length: int, joined: bool) -> set[str]:
    """Return the runs as texts: the reference."""
    units = list(text.replace(" ", "")) if joined else text.split()
    return {" ".join(units[i : i + length]) for i in range(max(len(units) - length + 1, 1))}


@pytest.mark.parametrize(
    ("text", "length", "joined"),
    [
        ("a b c d e a b c", 3, False),
        ("a b", 3, False),
        ("如何制作巧克力蛋糕", 4, True),
        ("วิธีอบเค้กดี", 4, True),
        ("ケーキ", 4, True),
        ("안녕 세상 아 여러분", 3, False),
        ("مرحبا بك في هذا المكان", 3, False),
    ],
)
def test_there_is_one_shingle_for_each_run(text: str, length: int, joined: bool) -> None:
    """Words where there are spaces, characters where there are none; equal runs count once."""
    assert len(THREE.shingles(text)) == len(runs(text, length, joined))


def test_shingles_ignore_case_and_punctuation() -> None:
    """Texts that are equal after normalisation have equal shingles."""
    assert THREE.shingles("How DO I, please?") == THREE.shingles("how do i please")
    assert THREE.shingles("How do I please") != THREE.shingles("How do I not please")


def test_mixed_texts_are_read_by_what_most_of_them_is() -> None:
    """A foreign word in a Chinese text does not change the unit of the rest."""
    chinese = THREE.shingles("如何用 Python 制作一个好看的网页呢")
    other = THREE.shingles("如何用 Rust 制作一个好看的网页呢")
    assert len(chinese & other) == len("制作一个好看的网页呢") - 3
    english = THREE.shingles("What does 你好 mean in English")
    assert len(english) == len(["what", "does", "你", "好", "mean", "in", "english"]) - 2


@pytest.mark.parametrize("text", ["", " ", "\u200b"])
def test_nothing_has_no_shingles(text: str) -> None:
    """White space and invisible characters alone are no text."""
    assert words_of(text.strip("\u200b")) == []
    assert len(THREE.shingles(text)) <= 1


def test_hostile_texts_have_shingles() -> None:
    """A long text of one word has one shingle; emoji and markup have their own."""
    assert [len(THREE.shingles(text)) for text in HOSTILE[-2:]] == [1, 1]
    assert all(THREE.shingles(text) for text in HOSTILE[2:8])
