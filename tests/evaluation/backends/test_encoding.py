"""Prompts and answers of local models: how turns end, and thoughts beside answers."""

import json
import shutil
from pathlib import Path

import pytest
from tests.evaluation.conftest import CHAT_TEMPLATE

from mixmerge.errors import DataError, ModelError
from mixmerge.evaluation.backends.encoding import encode, response
from mixmerge.evaluation.loaded_model import LoadedModel
from mixmerge.evaluation.spec import DecodingSpec
from mixmerge.records import Prompt

DECODING = DecodingSpec(max_new_tokens=8)


def changed(model: Path, out: Path, template: str = CHAT_TEMPLATE, eos: str = "<|end|>") -> Path:
    """A copy with another template and another end of text."""
    folder = shutil.copytree(model, out)
    (folder / "chat_template.jinja").write_text(template)
    settings = json.loads((folder / "tokenizer_config.json").read_text()) | {"eos_token": eos}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "generation_config.json").write_text('{"eos_token_id": 0}')
    return folder


def test_generation_stops_where_the_template_ends_a_turn(tiny_model: Path, tmp_path: Path) -> None:
    """A base model that names another end of text stops where its chat template says."""
    model = LoadedModel(changed(tiny_model, tmp_path / "m", eos="<s>"))
    end = model.tokenizer.convert_tokens_to_ids("<|end|>")
    assert model.end_tokens == [0, end]


def test_thoughts_are_parted_from_a_local_answer(
    tiny_model: Path, questions: list[Prompt], tmp_path: Path
) -> None:
    """Also where the prompt opens them; a model that ends in them has given no answer."""
    opening = CHAT_TEMPLATE.replace("<|assistant|>{% endif %}", "<|assistant|><think>\n{% endif %}")
    for template, text in ((CHAT_TEMPLATE, "<think>hm</think>Yes."), (opening, "hm</think>Yes.")):
        model = LoadedModel(changed(tiny_model, tmp_path / text[:5], template))
        (item,) = encode(questions[:1], model, DECODING)
        tokens = model.tokenizer(text + "<|end|>", add_special_tokens=False)["input_ids"]
        made = response(item, tokens, model)
        assert (made.text, made.thoughts, made.finish_reason) == ("Yes.", "hm", "stop")
        assert made.tokens == len(tokens)
        cut = response(item, tokens[: len(tokens) - 12], model)
        assert (cut.text, cut.finish_reason) == ("", "length")
        assert cut.thoughts.startswith("hm")


def test_options_reach_the_template(
    tiny_model: Path, questions: list[Prompt], tmp_path: Path
) -> None:
    """A model is asked with the options of the decoding."""
    template = "{{ mood }}" + CHAT_TEMPLATE
    model = LoadedModel(changed(tiny_model, tmp_path / "m", template))
    asked = DecodingSpec(max_new_tokens=8, chat_template={"mood": "calm"})
    (item,) = encode(questions[:1], model, asked)
    assert model.tokenizer.decode(item.ids).startswith("calm<s>")


def test_a_templates_fault_is_not_the_prompts(
    tiny_model: Path, questions: list[Prompt], tmp_path: Path
) -> None:
    """Whether the template fails or refuses a prompt is told apart."""
    failing = LoadedModel(changed(tiny_model, tmp_path / "f", "{{ 1 / 0 }}"))
    with pytest.raises(ModelError, match=r"chat template fails \(ZeroDivisionError"):
        encode(questions[:1], failing, DECODING)
    strict = LoadedModel(changed(tiny_model, tmp_path / "s", "{{ raise_exception('no') }}"))
    with pytest.raises(DataError, match="refuses its messages: no"):
        encode(questions[:1], strict, DECODING)
