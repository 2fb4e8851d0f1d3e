"""The picture of the README."""

from xml.etree import ElementTree as ET

import pytest
from tests.reporting.conftest import given_results, study_results
from tools.readme_picture import EDGE, WIDTH, picture


def test_the_picture_shows_the_front_the_verdict_and_the_advice() -> None:
    """The SVG is whole, brings its colours, and has every model and sentence as text."""
    svg = picture(study_results())
    root = ET.fromstring(svg)  # noqa: S314 (our own file)
    texts = ["".join(e.itertext()).strip() for e in root.iter() if e.tag.endswith("text")]
    assert {"dpo-15", "dpo-slerp", "dpo-ties", "dpo-dare-ties"} <= set(texts)
    assert "base" not in texts
    assert "Take dpo-slerp." in texts
    assert "Merging beats mixing" in " ".join(texts)
    assert "prefers-color-scheme: dark" in svg
    used = {part.partition(")")[0] for part in svg.split("var(")[1:]}
    assert all(f"{name}: #" in svg for name in used)


def test_no_line_leaves_the_picture() -> None:
    """Long sentences are broken, and the picture grows with them."""
    results = study_results()
    assert results.advice is not None
    others = tuple(
        results.advice.priorities[0].model_copy(update={"model": f"model-{number}" * 4})
        for number in range(8)
    )
    advice = results.advice.model_copy(update={"priorities": others})
    root = ET.fromstring(picture(results.model_copy(update={"advice": advice})))  # noqa: S314
    height = int(root.attrib["height"])
    places = [int(e.attrib["y"]) for e in root if e.tag.endswith("text")]
    assert max(places) < height - EDGE
    assert int(root.attrib["width"]) == WIDTH


def test_results_without_advice_have_no_picture() -> None:
    """One axis has no plane, and without advice there is nothing to say."""
    with pytest.raises(ValueError, match="advice and at least two deciding axes"):
        picture(given_results(["code", "safety"]))
