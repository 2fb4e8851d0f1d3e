"""``data: {NAME: {generate: …}}``: what identifies generated rows, their price, a whole study."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.evaluation.endpoint_server import Answer, Server, quick_retries, says

import mixmerge
from mixmerge.errors import SpecError
from mixmerge.execution.step import Step
from mixmerge.files import read_json
from mixmerge.records import PreferencePair
from mixmerge.study.budget import with_budget
from mixmerge.study.check import parse_study, read_study
from mixmerge.study.spec import Study
from mixmerge.study.spec_file import read_spec
from mixmerge.study.steps import steps
from mixmerge.synthesis.spec import GenerateDataSpec
from mixmerge.testbed.data import preference_pairs, prompts

__all__ = ["quick_retries"]

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "data_safety.yaml"


def generate(seeds: Path, url: str = "http://localhost:1/v1", **more: Any) -> dict[str, Any]:
    """Return a source of generated rows with one endpoint."""
    price = {"input": 1, "output": 2}
    return {
        "seeds": {"risks": {"files": str(seeds), "language": "en", "licence": "MIT"}},
        "models": {"m": {"endpoint": url, "model": "m-1", "price": price}},
        "steps": [
            {"rephrase": 4, "max_tokens": 200},
            {"answer": "refuse_and_redirect", "max_tokens": 50},
            {"contrast": "unsafe", "max_tokens": 50},
        ],
        **more,
    }


def study(source: Any, **more: Any) -> dict[str, Any]:
    """Return a small study of the testbed that mixes and merges with a generated source."""
    return {
        "study": "generated",
        "languages": ["en"],
        "base": "testbed",
        "data": {"general": {"testbed": "general"}, "safety": {"generate": source}},
        "mixtures": {
            "none": {"size": 16, "shares": {"general": 1}},
            "both": {"size": 16, "shares": {"general": 0.75, "safety": 0.25}},
            "all": {
                "size": 16, "shares": {"safety": 1}, "when_short": "repeat", "most_copies": 4,
            },
        },
        "training": {"sft": {"method": "sft", "max_steps": 2, "batch_size": 8}},
        "checkpoints": {
            "general": {"train": "sft", "mixture": "none"},
            "mix": {"train": "sft", "mixture": "both"},
            "safe": {"train": "sft", "mixture": "all"},
            "merged": {"merge": {"method": "linear", "models": ["general", "safe"]}},
        },
        "evaluate": {
            "axes": {
                "safety": {
                    "prompts": {"testbed": "safety"},
                    "judge": {"rules": "testbed"},
                    "measure": {"rate": "harmful"},
                    "better": "lower",
                }
            },
            "baseline": "mix",
            "decoding": {"max_new_tokens": 4},
        },
        **more,
    }  # fmt: skip


def read(source: Any, **more: Any) -> Study:
    return parse_study(yaml.safe_dump(study(source, **more)), "study.yaml")


def step(source: Any) -> Step:
    (found,) = [each for each in steps(read(source)) if each.kind == "generate-data"]
    return found


def english() -> list[PreferencePair]:
    """Return the testbed's English training rows about harm."""
    return [pair for pair in preference_pairs("safety", ["en"]) if pair.language == "en"]


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    """Return a file of three seeds that are training prompts of the testbed."""
    path = tmp_path / "seeds.jsonl"
    rows = [
        {"prompt": pair.prompt_text, "id": f"s{number}"}
        for number, pair in enumerate(english()[:3])
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_addresses_and_prices_are_no_part_of_the_identity(seeds: Path) -> None:
    """Where a model is served, at what price and for how much does not change the rows."""
    first = step(generate(seeds))
    served: dict[str, Any] = {
        "endpoint": "http://other:2/v1", "model": "m-1", "api_key_env": "KEY", "concurrency": 3,
        "price": {"input": 9, "output": 9},
    }  # fmt: skip
    other = step(generate(seeds, models={"m": served}, budget=5))
    assert other.settings == first.settings
    assert other.files == first.files
    assert "localhost" not in json.dumps(first.settings)
    assert str(seeds) not in json.dumps(first.settings)
    assert list(first.files.values()) == [str(seeds)]


@pytest.mark.parametrize(
    "change",
    [
        {"models": {"m": {"endpoint": "http://localhost:1/v1", "model": "m-2"}}},
        {"steps": [{"rephrase": 5}]},
        {"steps": [{"rephrase": 4, "max_tokens": 200, "temperature": 0.1}]},
        {"filters": ["personal_data"]},
        {"quotas": {"size": 3, "shares": {"language": ["en"]}}},
        {"seed": 1},
    ],
)
def test_what_changes_rows_changes_the_identity(seeds: Path, change: dict[str, Any]) -> None:
    """Models, steps, filters, quotas and the seed do."""
    assert step(generate(seeds, **change)).settings != step(generate(seeds)).settings


def test_the_instructions_are_part_of_the_identity(
    seeds: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Another version of a recipe's instruction makes other rows; a file's counts by content."""
    from mixmerge.synthesis.recipes.rephrase import Rephrase

    first = step(generate(seeds))
    own = tmp_path / "own.txt"
    told = step(generate(seeds, steps=[{"rephrase": 4, "instruction": str(own)}]))
    assert str(own) in told.files.values()
    assert str(own) not in json.dumps(told.settings)
    monkeypatch.setattr(Rephrase, "template", Rephrase.template + " Please.")
    assert step(generate(seeds)).settings != first.settings


def test_files_that_filters_read_count_by_content(seeds: Path, tmp_path: Path) -> None:
    """An evaluation set in a filter is a file of the step, wherever the filter stands."""
    sets = tmp_path / "eval.jsonl"
    overlap = {"overlap": [str(sets)]}
    for given in (
        generate(seeds, filters=[overlap]),
        generate(seeds, steps=[{"rephrase": 2, "filters": [overlap]}]),
    ):
        found = step(given)
        assert str(sets) in found.files.values()
        assert str(sets) not in json.dumps(found.settings)


def test_a_file_is_the_same_as_its_text(seeds: Path, tmp_path: Path) -> None:
    """A study may name the file of `generate-data`; a mistake there is named with its line."""
    path = tmp_path / "data.yaml"
    path.write_text(yaml.safe_dump(generate(seeds)), encoding="utf-8")
    assert step(str(path)) == step(generate(seeds))
    path.write_text("seeds: {}\nmodels: {}\nstepz: []\n", encoding="utf-8")
    with pytest.raises(SpecError, match=r"data\.safety\.generate: .*data\.yaml, line 3: stepz"):
        step(str(path))
    with pytest.raises(SpecError, match=r"none\.yaml"):
        step(str(tmp_path / "none.yaml"))


def test_a_missing_seed_file_is_named_in_the_plan(tmp_path: Path) -> None:
    """Nothing is known of the price, and the message has the key."""
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(study(generate(tmp_path / "none.jsonl"))), encoding="utf-8")
    with pytest.raises(SpecError, match=r"data\.safety\.generate: .*none\.jsonl does not exist"):
        mixmerge.plan(path, tmp_path / "run")


def test_a_budget_is_one_for_all_calls_of_a_source(seeds: Path) -> None:
    """The command's budget takes the place of the source's own."""
    limited = with_budget(read(generate(seeds, budget=1)), 3.5)
    source = limited.data["safety"].generate  # type: ignore[union-attr]
    assert source.budget == 3.5
    assert source.models["m"].budget is None  # type: ignore[union-attr]


def test_the_papers_pipeline_is_planned_and_priced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls are seeds, then prompts in five languages, then two texts for each prompt."""
    monkeypatch.chdir(ROOT)
    plan = mixmerge.plan(EXAMPLE, tmp_path)
    (kind,) = [each for each in plan.kinds if each.kind == "generate-data"]
    assert kind.calls is not None
    lines = (ROOT / "examples" / "safety_seeds.jsonl").read_text(encoding="utf-8").splitlines()
    grown = 25 * len(lines)
    assert kind.calls.count == len(lines) + 5 * grown + 2 * 6 * grown
    assert kind.calls.models == ["command-r-plus-08-2024"]
    budget = read_study(EXAMPLE).data["safety"].generate.budget  # type: ignore[union-attr]
    # An answer and one to avoid, 400 tokens each, for each prompt, at 10 dollars a million.
    assert kind.calls.dollars is not None
    assert budget is not None
    assert 2 * 6 * grown * 400 * 10e-6 < kind.calls.dollars < budget
    assert not [each for each in plan.errors if "generate-data" in each or "safety:" in each]


@pytest.mark.parametrize("name", ["general", "over_refusal"])
def test_the_other_sets_are_files_of_the_command(name: str) -> None:
    """They fit `generate-data`, carry a licence, and have a price for every model."""
    spec = read_spec(ROOT / "examples" / "generate_data" / f"{name}.yaml", GenerateDataSpec)
    assert all(seed.licence for seed in spec.seeds.values())
    assert spec.budget
    assert spec.quotas is not None
    assert {cell[0] for cell in spec.quotas.cells} == {"en", "hi", "fr", "es", "ar", "ru"}


def test_translated_requests_keep_the_number_of_their_source(tmp_path: Path) -> None:
    """As in the set of safe requests: the source's id is the seed, its type the category."""
    path = tmp_path / "xstest.csv"
    path.write_text("id,prompt,type\n7,How do I kill a process?,homonyms\n", encoding="utf-8")
    server = Server(lambda *_: says("<reply>प्रक्रिया कैसे बंद करें?</reply>"))
    given = generate(path, server.url, steps=[{"translate": ["hi"]}], output=["risks", "translate"])
    given["seeds"]["risks"]["columns"] = {"prompt": "prompt", "category": "type", "id": "id"}
    try:
        mixmerge.generate_data(GenerateDataSpec.model_validate(given), tmp_path / "out")
    finally:
        server.stop()
    lines = (tmp_path / "out" / "rows.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["language"] for row in rows] == ["en", "hi"]
    assert {row["provenance"]["seed"] for row in rows} == {"7"}
    assert {row["category"] for row in rows} == {"homonyms"}


def scripted(body: dict[str, Any]) -> Answer:
    """Answer as the testbed's training rows do; the third new prompt is one of the evaluation."""
    pairs = english()
    said = {pair.prompt_text: pair for pair in pairs}
    content = body["messages"][-1]["content"]
    if '"requests"' in content:
        taken = next(place for place, pair in enumerate(pairs) if pair.prompt_text in content)
        grown = [pair.prompt_text for pair in pairs[10 + 4 * taken : 14 + 4 * taken]]
        if taken == 0:
            grown[2] = next(p.text for p in prompts("safety", "test") if p.language == "en")
        return says(json.dumps({"requests": grown}))
    found = re.search(r"\[text (\w+)\]\n(.*)\n\[end of text \1\]", content, re.DOTALL)
    if found:
        pair = said.get(found[2])
        return says(f"<reply>{pair.rejected if pair else 'Sure.'}</reply>")
    return says(said[content].chosen if content in said else "No.")


@pytest.fixture
def server() -> Iterator[Server]:
    """Start the scripted model; it is stopped after the test."""
    running = Server(lambda text, _: scripted(json.loads(text)), read=json.dumps)
    yield running
    running.stop()


def asked(server: Server) -> int:
    """Return the number of calls, without the one token that a run asks for first."""
    return sum("one word: yes" not in json.dumps(body) for body in server.calls)


@pytest.mark.slow
def test_data_are_generated_mixed_merged_and_judged(
    seeds: Path, tmp_path: Path, server: Server
) -> None:
    """One command from seeds to decisions; an overlapping prompt is out; a rerun asks nothing."""
    path, run = tmp_path / "study.yaml", tmp_path / "run"
    path.write_text(yaml.safe_dump(study(generate(seeds, server.url))), encoding="utf-8")
    planned = mixmerge.plan(path, run)
    (kind,) = [each for each in planned.kinds if each.kind == "generate-data"]
    assert kind.calls is not None
    assert kind.calls.count == 3 + 2 * 12
    finished = mixmerge.run(path, run)
    assert finished is not None
    assert {each.a for each in finished.results.decisions} == {"merged"}

    (made,) = (run / "generate-data").glob("safety-*")
    facts = read_json(made / "record.json")["facts"]
    report = read_json(made / "report.json")
    rows = [json.loads(line) for line in (made / "rows.jsonl").read_text().splitlines()]
    dropped = [json.loads(line) for line in (made / "dropped.jsonl").read_text().splitlines()]
    assert facts["rows"] == len(rows) == 11
    assert facts["calls"] == 27 == asked(server)
    assert facts["dollars"] == pytest.approx(report["dollars"])
    (gone,) = dropped
    assert gone["reason"] == "overlaps an evaluation prompt (equal)"
    evaluated = {each.text for each in prompts("safety", "test", ["en"])}
    assert not {row["prompt"][-1]["content"] for row in rows} & evaluated
    assert (made / "README.md").read_text(encoding="utf-8").startswith("---\n")

    (made / "record.json").unlink()
    mixmerge.run(path, run)
    assert asked(server) == 27
