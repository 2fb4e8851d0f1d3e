"""Write the tables and the figure of docs/benchmarks.md from the measured results.

    python -m benchmarks.page

reads ``benchmarks/results/*.json`` (as the other scripts write them with ``--json``) and replaces
what stands between the page's ``<!-- begin NAME -->`` and ``<!-- end NAME -->``. ``--markdown``
prints the sections instead. A section without results says so.
"""

import argparse
import json
import re
from pathlib import Path
from typing import Any

from benchmarks import agreement, examples, figure, tables

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks/results"
PAGE = ROOT / "docs/benchmarks.md"
FIGURE = "figures/merge-sizes.svg"
"""Relative to the page."""
_CAPTION = "Anonymous memory and time against the size of one model"
_MISSING = "*Not measured yet.*"


def sections(results: Path) -> dict[str, str]:
    """Return the Markdown of every section of the page.

    Args:
        results: the folder with ``merge*.json``, ``parity*.json`` and ``examples*.json``.
    """
    runs = merge_rows(results)
    return {
        "ratios": tables.ratios(runs) if runs else _MISSING,
        "figure": f"![{_CAPTION}]({FIGURE})" if (PAGE.parent / FIGURE).exists() else _MISSING,
        "merge": _tables(results, "merge", "rows"),
        "parity": _tables(results, "parity", "cells"),
        "examples": _tables(results, "examples", "outcomes"),
    }


def merge_rows(results: Path) -> list[tables.Row]:
    """Return every timed run."""
    return [
        tables.Row(**record)
        for file in sorted(results.glob("merge*.json"))
        for record in json.loads(file.read_text())["rows"]
    ]


def _tables(results: Path, kind: str, key: str) -> str:
    parts = []
    for file in sorted(results.glob(f"{kind}*.json")):
        content = json.loads(file.read_text())
        parts += [_about(content), _table(kind, content[key])]
    return "\n\n".join(parts) or _MISSING


def _table(kind: str, records: list[dict[str, Any]]) -> str:
    if kind == "merge":
        return tables.markdown([tables.Row(**record) for record in records])
    if kind == "parity":
        return agreement.markdown([agreement.Cell(**record) for record in records])
    return examples.markdown([examples.Outcome(**record) for record in records])


def _about(content: dict[str, Any]) -> str:
    machine, versions = content["machine"], content["versions"]
    settings = [f"{name}={value}" for name, value in content["environment"].items()]
    return ", ".join(
        [
            f"{content['date']}: {machine['processors']} × {machine['processor']}",
            f"{machine['memory']} of memory",
            f"Python {versions['python']}",
            f"mixmerge {versions['commit']}",
            versions["mergekit"] or "without mergekit",
            *settings,
        ]
    )


def fill(page: str, found: dict[str, str]) -> str:
    """Return a page with its marked sections replaced.

    Raises:
        ValueError: the page has no mark for a section.
    """
    for name, text in found.items():
        marks = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        pattern = re.compile(f"{marks[0]}.*?{marks[1]}", re.DOTALL)
        if not pattern.search(page):
            raise ValueError(f"the page has no section between {marks[0]} and {marks[1]}")
        whole = f"{marks[0]}\n{text}\n{marks[1]}"
        page = pattern.sub(lambda _, whole=whole: whole, page)  # type: ignore[misc]
    return page


def put(found: dict[str, str], page: Path) -> None:
    """Replace the marked sections of a page's file; see `fill`."""
    page.write_text(fill(page.read_text(encoding="utf-8"), found), encoding="utf-8")


def show(docs: Path | None, section: str, text: str) -> None:
    """Print a section, and put it into a page of the documentation, too, where one is given."""
    print(text)
    if docs is not None:
        put({section: text}, docs)


def main() -> None:
    """Rewrite the page, or print its sections."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--markdown", action="store_true", help="print, change nothing")
    arguments = parser.parse_args()
    if arguments.markdown:
        print("\n\n".join(sections(RESULTS).values()))
        return
    (PAGE.parent / FIGURE).parent.mkdir(exist_ok=True)
    figure.draw(merge_rows(RESULTS), PAGE.parent / FIGURE)
    put(sections(RESULTS), PAGE)


if __name__ == "__main__":
    main()
