"""Each tutorial runs as it is written, in an empty folder."""

from pathlib import Path

import pytest
from tests.tutorials.pages import ROOT, Shell, blocks, expect, follow

TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=page.stem, marks=[] if page.stem == "one_gpu" else pytest.mark.slow)
        for page in TUTORIALS
    ],
)
def test_a_tutorial_runs_as_it_is_written(page: Path, tmp_path: Path) -> None:
    """Its files, commands and outputs, in order; a page that changes the source has a clone."""
    shell = Shell(tmp_path)
    if any((block["title"] or "").startswith("src/") for block in blocks(page)):
        shell.clone()
    follow(page, shell)


def test_there_is_a_tutorial_for_each_way_in() -> None:
    """Own data, own models, one GPU, an own metric, the number of prompts, and from mergekit."""
    names = ["from_mergekit", "how_many_prompts", "models", "one_gpu", "own_data", "own_metric"]
    assert [page.stem for page in TUTORIALS] == names


def test_output_that_is_not_printed_is_found() -> None:
    """A page that shows another number fails; `…` and other spaces do not matter."""
    printed = "base   7.6 % 4.2–13.4\nmix   63.7 %\n"
    expect("base 7.6 % …\nmix 63.7 %\n", printed)
    with pytest.raises(AssertionError, match="not printed: mix 64"):
        expect("base …\nmix 64.0 %\n", printed)
    with pytest.raises(AssertionError, match="not printed: base"):
        expect("mix …\nbase\n", printed)


def test_a_command_that_fails_stops_the_page(tmp_path: Path) -> None:
    """The first command of a block with an exit code is the last one run."""
    page = tmp_path / "page.md"
    page.write_text("```sh\nfalse\ntouch here\n```\n")
    with pytest.raises(AssertionError, match="false"):
        follow(page, Shell(tmp_path))
    assert not (tmp_path / "work" / "here").exists()
