"""Which small files a merged model takes over."""

from pathlib import Path
from typing import Any

import pytest

from mixmerge.errors import ModelError
from mixmerge.merging.engine import merge
from mixmerge.merging.models.donor_files import OTHER_TOKENS, donated, lacks_tokens
from mixmerge.merging.planning.plan import plan_merge

FILES = (
    "spiece.model",
    "sentencepiece.bpe.model",
    "tekken.json",
    "words.tiktoken",
    "video_preprocessor_config.json",
    "additional_chat_templates/rag.jinja",
)


def test_the_output_has_all_small_files_of_its_donor(
    pair: dict[str, Path], recipe: Any, tmp_path: Path
) -> None:
    """Vocabularies in every known form, settings of processors, named chat templates; no code."""
    for name in (*FILES, "modeling_custom.py"):
        (pair["a"] / name).parent.mkdir(exist_ok=True)
        (pair["a"] / name).write_text("{}")
    merge(recipe("linear", pair), tmp_path / "out")
    for name in FILES:
        assert (tmp_path / "out" / name).read_text() == "{}"
    assert not (tmp_path / "out" / "modeling_custom.py").exists()
    (pair["a"] / "additional_chat_templates" / "rag.jinja").unlink()
    merge(recipe("linear", pair), tmp_path / "out")
    assert donated(tmp_path / "out").keys() == donated(pair["a"]).keys()


@pytest.mark.parametrize("name", [name.replace("*", "words") for name in OTHER_TOKENS])
def test_other_vocabularies_are_refused_in_every_form(
    name: str, pair: dict[str, Path], recipe: Any, tmp_path: Path
) -> None:
    """The same goes through, and another one does not for want of a known name."""
    for path in pair.values():
        (path / "tokenizer.json").unlink()
        (path / "tokenizer_config.json").write_text("{}")
        (path / name).write_text("a b c")
    merge(recipe("linear", pair), tmp_path / "out")
    assert (tmp_path / "out" / name).is_file()
    (pair["b"] / name).write_text("c b a")
    with pytest.raises(ModelError, match="the tokenizer files of a and b differ"):
        merge(recipe("linear", pair), tmp_path / "out")


def test_a_tokenizer_without_a_known_vocabulary_is_noted(
    pair: dict[str, Path], recipe: Any
) -> None:
    """One of bytes needs none; another one's would be missing in the output."""
    assert not plan_merge(recipe("linear", pair)).notes
    (pair["a"] / "tokenizer.json").unlink()
    (pair["a"] / "tokenizer_config.json").write_text("{}")
    (pair["b"] / "tokenizer.json").unlink()
    (pair["b"] / "tokenizer_config.json").write_text("{}")
    assert lacks_tokens(pair["a"])
    assert plan_merge(recipe("linear", pair)).notes == (
        "the tokenizer of a has no vocabulary file that is known here",
    )
