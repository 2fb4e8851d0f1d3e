"""The built documentation: what a reader searches for is found, and the pictures are current."""

import json
from pathlib import Path

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config
from tests.tutorials.pages import ROOT
from tools.concepts import FOLDER, PICTURES, svg


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The search index of the site: the text of every section, by its address.

    The reference is left out: it takes most of the time, and no one must need it to find a word.
    """
    site = tmp_path_factory.mktemp("site")
    config = load_config(str(ROOT / "mkdocs.yml"), site_dir=str(site))
    del config.plugins["mkdocstrings"]
    build(config)
    index = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))
    return {entry["location"]: f"{entry['title']} {entry['text']}" for entry in index["docs"]}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "page"),
    [
        ("sharegpt", "tutorials/own_data/"),
        ("exact match", "evaluate/"),
        ("lm-eval", "faq/"),
        ("qlora", "tutorials/one_gpu/"),
        ("resume", "faq/"),
        ("alpaca", "mix/"),
        ("glossary", "glossary/"),
        ("how many prompts", "tutorials/how_many_prompts/"),
    ],
)
def test_the_search_finds(found: dict[str, str], words: str, page: str) -> None:
    """A section of the page that answers has the words."""
    hits = [place for place, text in found.items() if words in text.lower()]
    assert any(place.startswith(page) for place in hits), hits


@pytest.mark.parametrize("draw", PICTURES, ids=lambda draw: draw.__name__)
def test_a_picture_is_what_its_script_draws(draw: object) -> None:
    """Each picture of the concepts is current, takes the page's colour, and names what it shows."""
    text = svg(draw)  # type: ignore[arg-type]
    assert (FOLDER / f"{draw.__name__}.svg").read_text(encoding="utf-8") == text  # type: ignore[attr-defined]
    assert "currentColor" in text
    assert 'role="img" aria-label="' in text
    assert "\n\n" not in text
    assert "<style" not in text


def test_every_picture_is_on_the_page() -> None:
    """No picture is drawn for nothing, and none is missing."""
    page = Path(ROOT / "docs" / "concepts.md").read_text(encoding="utf-8")
    assert {path.stem for path in FOLDER.glob("*.svg")} == {draw.__name__ for draw in PICTURES}
    assert all(f"figures/concepts/{draw.__name__}.svg" in page for draw in PICTURES)
