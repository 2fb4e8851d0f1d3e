"""The data card: metadata that the hub reads, and counts that are those of the rows."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import DatasetCard
from tests.synthesis.filters.rows import made_by, row

from mixmerge.synthesis.asking import Usage
from mixmerge.synthesis.card import card, write_card
from mixmerge.synthesis.report import GenerationReport, SeedReport, StepReport
from mixmerge.synthesis.row import Row
from mixmerge.synthesis.spec import GenerateDataSpec

REPHRASE = made_by("grow", recipe="rephrase", parameters={"temperature": 0.7, "style": "slang"})
TRANSLATE = made_by("translate", model="big", prompt="ffff")
ROWS = [
    row("Q one", language="en", category="fraud", source="risks", seed="1", made_by=[REPHRASE]),
    row("Q two", language="en", category="theft", source="risks", seed="1", made_by=[REPHRASE]),
    row(
        "प्रश्न", language="hi", category="fraud", source="risks", seed="2",
        translated="machine", made_by=[REPHRASE, TRANSLATE],
    ),
    row("By hand", language="en", category="fraud", source="more", seed="9"),
]  # fmt: skip


def spec(**fields: Any) -> GenerateDataSpec:
    return GenerateDataSpec.model_validate(
        {
            "seeds": {"risks": {"files": "r.jsonl", "licence": "Apache-2.0"}},
            "models": {"small": {"endpoint": "http://localhost:1/v1", "model": "m"}},
            "steps": [{"rephrase": 2}],
            **fields,
        }
    )


def report(**fields: Any) -> GenerationReport:
    usage = Usage(calls=1234, input_tokens=56_000, output_tokens=None, dollars=1.5)
    seed = SeedReport(rows=3, licence="Apache-2.0", read_as="prompts", filtered={}, notes=[])
    step = StepReport(
        name="grow", recipe="rephrase", took=3, made=6, dropped={"not JSON": 2},
        filtered={"language: wrong language": 1}, measured={"diversity": 0.51234},
        notes=["5 rows: language: prompt too short"], models={"small": usage},
    )  # fmt: skip
    made = {
        "planned": False,
        "seeds": {"risks": seed, "more": seed.model_copy(update={"licence": "CC-BY-4.0"})},
        "steps": [step, step.model_copy(update={"name": "translate", "models": {}})],
        "filtered": {"overlap: overlaps an evaluation prompt (equal)": 7},
        "outside_quotas": 4,
        "short": ["hi/theft: 0 of 1 rows, 1 short"],
        "rows": 4,
        "languages": {"en": 3, "hi": 1},
        "categories": {"fraud": 3},
        "dropped": 14,
        "calls": 2468,
        "dollars": 3.25,
        "notes": [],
    }
    return GenerationReport.model_validate(made | fields)


def written(tmp_path: Path, rows: Sequence[Row] = ROWS, **fields: Any) -> DatasetCard:
    """Return the card as the hub's library reads it."""
    return DatasetCard.load(write_card(tmp_path, spec(**fields), rows, report()))


def test_the_hub_reads_the_metadata(tmp_path: Path) -> None:
    """Licences of all sources used, languages, size and the file of the rows."""
    data = written(tmp_path).data.to_dict()
    assert data["license"] == ["apache-2.0", "cc-by-4.0"]
    assert data["language"] == ["en", "hi"]
    assert data["size_categories"] == "n<1K"
    assert data["multilinguality"] == "multilingual"
    assert data["configs"] == [{"config_name": "default", "data_files": "rows.jsonl"}]
    assert data["pretty_name"] == tmp_path.name
    single = written(tmp_path, ROWS[:2]).data.to_dict()
    assert (single["license"], single["multilinguality"]) == ("apache-2.0", "monolingual")


@pytest.mark.parametrize(
    ("count", "size"), [(999, "n<1K"), (1000, "1K<n<10K"), (10_000, "10K<n<100K")]
)
def test_sizes_are_those_of_the_hub(tmp_path: Path, count: int, size: str) -> None:
    """The bounds belong to the larger class."""
    assert written(tmp_path, ROWS[:1] * count).data.to_dict()["size_categories"] == size


@pytest.mark.parametrize(
    "line",
    [
        "4 prompts, in `rows.jsonl`.",
        "| category | en | hi |",
        "| fraud | 2 | 1 |",
        "| theft | 1 | 0 |",
        "| risks | Apache-2.0 | prompts | 3 | 2 | 3 |",
        "| more | CC-BY-4.0 | prompts | 3 | 1 | 1 |",
        "| grow | rephrase | m | 0a1b | temperature: 0.7; style: slang | 3 | 6 | 3 |",
        "| translate | rephrase | big | ffff |  | 3 | 6 | 1 |",
        "- grow: diversity 0.5123",
        "| grow | not JSON | 2 |",
        "| grow | language: wrong language | 1 |",
        "| result | overlap: overlaps an evaluation prompt (equal) | 7 |",
        "| result | beyond the quotas | 4 |",
        "2,468 calls; together $3.25, failed attempts included.",
        "| grow | small | 1,234 | 56,000 | not counted | $1.50 |",
        "- 3 of 4 rows were written or changed by models; no person has checked them.",
        "- 1 rows are machine translations without a person's check.",
        "- 5 rows: language: prompt too short",
        "- Nobody searched for personal data.",
        "- The rows were not compared with the prompts of any evaluation.",
    ],
)
def test_the_card_says_what_was_done(line: str) -> None:
    """Every count is that of the rows or of the report."""
    assert any(each.startswith(line) for each in card("x", spec(), ROWS, report()).splitlines())


def test_quotas_and_filters_are_those_of_the_specification(tmp_path: Path) -> None:
    """Short cells are listed; what a filter cannot see is said where it was used."""
    filters = ["personal_data", {"overlap": ["eval.jsonl"]}]
    quotas = {"size": 2, "shares": {"language": ["en", "hi"]}}
    text = written(tmp_path, filters=filters, quotas=quotas).text
    assert "## Quotas\n\n- hi/theft: 0 of 1 rows, 1 short\n" in text
    assert "which do not see names, postal addresses" in text
    assert "not compared" not in text
    full = card("x", spec(quotas=quotas), ROWS, report(short=[]))
    assert "All quotas are filled exactly." in full
    assert "## Quotas" not in card("x", spec(), ROWS, report())


def test_unknown_licences_are_said() -> None:
    """A source without a known licence is in the metadata and among the limits."""
    seed = SeedReport(rows=1, licence="unknown", read_as="prompts", filtered={}, notes=[])
    text = card("x", spec(), ROWS[:1], report(seeds={"risks": seed}))
    assert "license: unknown" in text
    assert "The licence of a source is not known" in text


def test_names_from_data_are_shown_as_text() -> None:
    """Markup, table marks, line breaks and YAML in names of categories and sources do nothing."""
    vile = "a | b\n# c <script>`x`</script> [l](u)"
    rows = [row("Q", category=vile, source="yes: no", language="no")]
    seed = SeedReport(rows=1, licence="no", read_as=vile, filtered={vile: 1}, notes=[vile])
    text = card("---\nx: 1", spec(), rows, report(seeds={"yes: no": seed}))
    _, metadata, body = text.split("---\n", 2)
    read = yaml.safe_load(metadata)
    assert read["license"] == "no"
    assert read["language"] == ["no"]
    assert read["pretty_name"] == "--- x: 1"
    assert "<script>" not in body
    assert "\n# c" not in body
    lines = [line for line in body.splitlines() if line.startswith("| a \\| b")]
    assert lines == ["| a \\| b \\# c &lt;script&gt;\\`x\\`&lt;/script&gt; \\[l\\](u) | 1 |"]


def test_no_rows_have_a_card() -> None:
    """Whatever was left out, there is a card."""
    text = card("x", spec(), [], report())
    assert "[]" not in text
    assert "| risks | Apache-2.0 | prompts | 3 | 0 | 0 |" in text
