"""What a mixture specification refuses."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from mixmerge.mixing import MixSpec, SourceSpec


def spec(**changes: Any) -> MixSpec:
    values = {
        "sources": {"general": {"files": "g.jsonl"}, "safety": {"files": "s.jsonl"}},
        "shares": {"general": 85, "safety": 15},
        "languages": ["en", "hi"],
        "size": 100,
    }
    return MixSpec.model_validate(values | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"shares": {"general": 1, "saftey": 1}},
            r"there is no `saftey` in `sources` .*mean `safety`\?",
        ),
        ({"shares": {"general": -1}}, "greater than or equal to 0"),
        ({"shares": {"general": 0, "safety": 0}}, "all shares are zero"),
        ({"shares": {}}, "at least 1 item"),
        ({"shares": {"general": float("nan")}}, "finite number|greater than or equal to 0"),
        ({"shares": {"general": float("inf")}}, "finite number"),
        ({"languages": []}, "at least 1 item"),
        ({"languages": ["en", "en"]}, "a language is named twice"),
        ({"language_shares": {"en": 1}}, "no share for hi; 0 leaves a language out"),
        ({"language_shares": {"en": 1, "hi": 1, "fr": 1}}, "there is no `fr` in `languages`"),
        ({"language_shares": {"en": 0, "hi": 0}}, "(?s)language_shares.*all shares are zero"),
        ({"language_shares": {"en": 1, "hi": -1}}, "greater than or equal to 0"),
        ({"size": 0}, "greater than or equal to 1"),
        ({"unit": "tokens"}, "needs `tokenizer`"),
        ({"when_short": "repeat"}, "needs `most_copies` of 2 or more"),
        ({"most_copies": 3}, "needs `when_short: repeat`"),
        ({"form": "pairs"}, "'conversations', 'preferences', 'labelled' or 'prompts'"),
        ({"sources": {}}, "at least 1 item"),
        ({"sizes": 3}, "Extra inputs are not permitted"),
    ],
)
def test_a_wrong_mixture_is_refused(changes: dict[str, Any], message: str) -> None:
    """Each mistake in a mixture is named."""
    with pytest.raises(ValidationError, match=message):
        spec(**changes)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({}, "exactly one of them"),
        ({"files": "a.jsonl", "hub": "org/name"}, "exactly one of them"),
        ({"files": []}, "`files` is empty"),
        ({"files": "a.jsonl", "split": "test"}, "belong to `hub`"),
        ({"files": {"en": "a.jsonl"}, "language": "en"}, "the language is given twice"),
        (
            {"files": "a.jsonl", "language": "en", "columns": {"language": "l"}},
            "`language` and `columns.language`",
        ),
        ({"files": "a.jsonl", "columns": {"question": "q"}}, "Extra inputs are not permitted"),
    ],
)
def test_a_wrong_source_is_refused(source: dict[str, Any], message: str) -> None:
    """Each mistake in a source is named."""
    with pytest.raises(ValidationError, match=message):
        SourceSpec.model_validate(source)


def test_the_example_of_the_documentation_is_valid() -> None:
    """The YAML on the page about mixing is a specification with its defaults."""
    page = (Path(__file__).parents[2] / "docs/mix.md").read_text(encoding="utf-8")
    example = page.split("```yaml\n")[1].split("```")[0]
    documented = MixSpec.model_validate(yaml.safe_load(example))
    assert documented.shares == {"general": 85, "safety": 15}
    assert documented.form == "conversations"


def test_the_specification_is_light() -> None:
    """Importing the package loads none of the heavy data libraries."""
    heavy = {"torch", "datasets", "transformers", "tokenizers", "pyarrow", "scipy", "numpy"}
    code = f"import sys, mixmerge.mixing; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
