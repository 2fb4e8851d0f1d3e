"""Thousands of broken files of every kind that users write: an error of ours, or none at all.

What a merge makes of broken models is tested in `tests.merging.test_fuzz`; here everything that is
read before anything is made.
"""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.limits import limits
from tests.merging.fuzz_mutations import (
    LEAVES,
    YAML_LEAVES,
    mutated,
    mutated_bytes,
    mutated_tree,
    parsed,
)
from tests.merging.fuzz_worlds import worlds
from tests.reporting.conftest import given_results

from mixmerge.errors import UserError
from mixmerge.evaluation.prompt_spec import PromptSetSpec
from mixmerge.evaluation.prompts import load_prompts
from mixmerge.files import read_json
from mixmerge.merging.models.safetensors_io import read_header
from mixmerge.merging.recipes.recipe_file import read_recipe
from mixmerge.mixing.sources import load
from mixmerge.mixing.spec import SourceSpec
from mixmerge.records.results import read_results
from mixmerge.study.explain import explain

ROOT = Path(__file__).parents[1]
SECONDS = 5
ROOM = 1 << 30

STUDIES = sorted(
    [
        *ROOT.glob("examples/**/*.yaml"),
        *ROOT.glob("src/**/testbed.yaml"),
        *ROOT.glob("tests/data/*.yaml"),
    ]
)
MODELS = [file for files in worlds().values() for file in sorted(files.items())]
TURNS = [{"role": "user", "content": "a?"}, {"role": "assistant", "content": "b"}]
ROWS: dict[str, list[dict[str, Any]]] = {
    "conversations": [
        {"messages": TURNS, "id": "1", "language": "en"},
        {"prompt": "p", "answer": "a", "language": "en", "id": 3},
        {"prompt": TURNS[:1], "answer": "b", "language": "en"},
    ],
    "preferences": [
        {"prompt": "p", "chosen": "a", "rejected": "b", "language": "en"},
        {"chosen": TURNS, "rejected": [*TURNS[:1], {**TURNS[1], "content": "c"}], "language": "en"},
    ],
    "prompts": [
        {"prompt": "p", "id": "1", "category": '["a", "b"]', "language": "en", "accepted": ["a"]},
        {"messages": TURNS[:1], "id": "2", "cluster": "2", "language": "en", "tests": ["a", "b"]},
    ],
}
NUMBERS = (*(str(2**63 - 1), "-1", "0", "1e308", ".inf", ".nan", "1e-320", "-0.5"), "99999999999")

Read = Callable[[Path], object]


@pytest.fixture(autouse=True)
def away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder of the test, without a network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(os, "fsync", lambda _: None)


def what_it_said(read: Read, file: Path) -> str | None:
    """Return the error of ours that ended it, if one did; any other is raised."""
    try:
        read(file)
    except UserError as error:
        return str(error)
    return None


def hold(count: int, case: Callable[[Random], tuple[Path, bytes, Read]]) -> None:
    """Read many broken files; each is known by the number that made it."""
    ends = {"read": 0, "refused": 0}
    with limits(SECONDS, ROOM) as restart:

        @settings(
            max_examples=count,
            deadline=None,
            database=None,
            phases=[Phase.generate],  # a smaller number makes no smaller file
            suppress_health_check=list(HealthCheck),
        )
        @given(st.integers(0, 2**64))
        def every_file_is_read_or_refused(number: int) -> None:
            file, content, read = case(Random(number))
            file.write_bytes(content)
            restart()
            said = what_it_said(read, file)
            ends["read" if said is None else "refused"] += 1
            assert said is None or said.strip(), "an error without a word"
            assert len(said or "") < 20_000, f"an error of {len(said or '')} letters"
            (said or "").encode()  # it is written to logs

        every_file_is_read_or_refused()
    assert count < 1000 or min(ends.values()) > count / 100, ends


def values_of(text: str) -> Iterator[str]:
    """Yield the parts of a file that hold numbers."""
    for line in text.splitlines():
        yield from (word for word in line.replace(",", " ").split() if word[:1].isdigit())


def broken_study(rng: Random) -> tuple[Path, bytes, Read]:
    """Break an example, or exchange one of its numbers."""
    text = rng.choice(STUDIES).read_text(encoding="utf-8")
    numbers = [*values_of(text)]
    if numbers and rng.random() < 0.3:
        content = text.replace(rng.choice(numbers), rng.choice(NUMBERS), 1).encode()
    else:
        content = mutated("study.yml", text.encode(), rng)
    return Path("study.yaml"), content, explain


def broken_recipe(rng: Random) -> tuple[Path, bytes, Read]:
    """Break a recipe of merges."""
    name, content = rng.choice([file for file in MODELS if file[0].endswith(".yml")])
    return Path("recipe.yml"), mutated(name, content, rng), read_recipe


def broken_header(rng: Random) -> tuple[Path, bytes, Read]:
    """Break a file of weights."""
    name, content = rng.choice([file for file in MODELS if file[0].endswith(".safetensors")])
    return Path("model.safetensors"), mutated(name, content, rng), read_header


def broken_rows(rng: Random) -> tuple[Path, bytes, Read]:
    """Break one of a few rows, in one of the formats."""
    kind = rng.choice(sorted(ROWS))
    rows = [json.dumps(row) for row in ROWS[kind]]
    place = rng.randrange(len(rows))
    if rng.random() < 0.7:
        rows[place] = mutated_tree(parsed(rows[place]), rng).replace("\n", " ")
    suffix = rng.choice((".jsonl", ".json", ".csv"))
    texts = {".jsonl": "\n".join(rows), ".json": f"[{', '.join(rows)}]"}
    texts[".csv"] = 'prompt,answer,chosen,rejected,language\np,a,a,b,en\n"q\n",a,b,"c""",fr\n'
    content = texts[suffix].encode("utf-8", "surrogatepass")
    if suffix == ".csv" or rng.random() < 0.3:
        content = mutated_bytes(content, rng)

    def read(file: Path) -> None:
        if kind == "prompts":
            rows: Any = load_prompts(PromptSetSpec(files=file), ["en", "fr"])
        else:
            form: Any = kind
            rows = load("source", SourceSpec(files=file), form).rows
        for row in rows:
            row.model_dump_json().encode()

    return Path(f"rows{suffix}"), content, read


def broken_results(rng: Random) -> tuple[Path, bytes, Read]:
    """Break what a run found."""
    content = mutated("results.json", RESULTS.encode(), rng)
    return Path("results.json"), content, lambda file: read_results(read_json(file), str(file))


RESULTS = given_results(["general", "safety"]).model_dump_json()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "case"),
    [
        (4000, broken_study),
        (4000, broken_recipe),
        (4000, broken_header),
        (4000, broken_rows),
        (1000, broken_results),
    ],
)
def test_a_broken_file_is_read_or_refused_in_one_message(
    count: int, case: Callable[[Random], tuple[Path, bytes, Read]]
) -> None:
    """Within five seconds and a gigabyte; both ends happen."""
    hold(count, case)


@pytest.mark.parametrize("case", [broken_study, broken_recipe, broken_header, broken_rows])
def test_some_broken_files_are_read_or_refused(
    case: Callable[[Random], tuple[Path, bytes, Read]],
) -> None:
    """The same with a few cases, on every change."""
    hold(60, case)


@pytest.mark.parametrize("leaf", [*LEAVES, *YAML_LEAVES])
def test_nothing_that_a_study_may_hold_is_a_fault_of_ours(leaf: str) -> None:
    """Each strange value stands once where a number, a name, a list and a section are expected."""
    text = (ROOT / "tests" / "data" / "small.yaml").read_text()
    for place in ("seed: 1", "languages: [en, fr]", "general: {testbed: general}", "size: 160"):
        assert place in text
        file = Path("study.yaml")
        file.write_text(text.replace(place, f"{place.partition(':')[0]}: {leaf}", 1))
        said = what_it_said(explain, file)
        assert said is None or "line" in said
