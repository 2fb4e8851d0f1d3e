"""Chat templates: chosen among inputs, known by name, or given."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.merging.conftest import write_adapter, write_tokenizer

from mixmerge.errors import SpecError
from mixmerge.merging.engine import merge
from mixmerge.merging.vocabularies.chat_template import (
    KNOWN,
    choose,
    stored_template,
    write_template,
)

TURNS = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello"},
    {"role": "user", "content": "Bye"},
]
SYSTEM = [{"role": "system", "content": "Be kind"}, *TURNS]
LLAMA = "<|start_header_id|>{}<|end_header_id|>\n\n{}<|eot_id|>"

EXPECTED = {
    "chatml": (
        "<|im_start|>system\nBe kind<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\nHello<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n"
        "<|im_start|>assistant\n"
    ),
    "llama3": "<s>"
    + LLAMA.format("system", "Be kind")
    + LLAMA.format("user", "Hi")
    + LLAMA.format("assistant", "Hello")
    + LLAMA.format("user", "Bye")
    + "<|start_header_id|>assistant<|end_header_id|>\n\n",
    "mistral": "<s> [INST] Be kind\n\nHi [/INST] Hello</s> [INST] Bye [/INST]",
    "exaone": (
        "[|system|]Be kind[|endofturn|]\n[|user|]Hi\n[|assistant|]Hello[|endofturn|]\n"
        "[|user|]Bye\n[|assistant|]"
    ),
    "alpaca": (
        "Be kind\n\n### Instruction:\nHi\n\n### Response:\nHello\n\n### Instruction:\nBye\n\n"
        "### Response:\n"
    ),
}


def render(template: str, messages: list[dict[str, str]], prompt: bool = True) -> str:
    """Render as transformers does."""
    from transformers.utils.chat_template_utils import render_jinja_template

    rendered, _ = render_jinja_template(
        [messages],
        chat_template=template,
        add_generation_prompt=prompt,
        bos_token="<s>",
        eos_token="</s>",
    )
    text: str = rendered[0]
    return text


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_known_templates_follow_their_formats(name: str) -> None:
    """A conversation with a system message is written to the letter, ready for the answer."""
    assert render(KNOWN[name], SYSTEM) == EXPECTED[name]


def test_known_templates_without_system_or_prompt() -> None:
    """What differs when there is no system message, and when no answer is asked for."""
    assert (
        render(KNOWN["exaone"], TURNS[:1]) == "[|system|][|endofturn|]\n[|user|]Hi\n[|assistant|]"
    )
    assert render(KNOWN["chatml"], TURNS[:1], prompt=False) == "<|im_start|>user\nHi<|im_end|>\n"
    assert render(KNOWN["alpaca"], TURNS[:2], prompt=False).startswith("### Instruction:\nHi")
    assert render(KNOWN["mistral"], TURNS[:2]) == "<s> [INST] Hi [/INST] Hello</s>"


def test_mistral_refuses_turns_out_of_order() -> None:
    """Two user turns in a row have no form in this format."""
    from jinja2 import TemplateError

    with pytest.raises(TemplateError, match="must take turns"):
        render(KNOWN["mistral"], [TURNS[0], TURNS[2]])


@pytest.fixture
def folder(tmp_path: Path) -> Any:
    """Write a folder with a template in one of its forms."""

    def write(name: str, template: Any, form: str = "chat_template.jinja") -> Path:
        path = tmp_path / name
        path.mkdir(exist_ok=True)
        text = template if form.endswith("jinja") else json.dumps({"chat_template": template})
        (path / form).write_text(text)
        return path

    return write


def test_auto_is_the_most_common(folder: Any, tmp_path: Path) -> None:
    """White space around does not count; of equally common ones the first; none gives none."""
    (tmp_path / "none").mkdir()
    folders = [
        folder("a", "{{ a }}"),
        tmp_path / "none",
        folder("b", "{{ b }}\n"),
        folder("c", "{{ b }}", "tokenizer_config.json"),
    ]
    assert choose("auto", map(stored_template, folders)) == "{{ b }}"
    assert choose("auto", map(stored_template, folders[:3])) == "{{ a }}"
    assert choose("auto", map(stored_template, folders[1:2])) is None


@pytest.mark.parametrize(
    ("template", "form", "expected"),
    [
        ("{{ x }}\n", "chat_template.jinja", "{{ x }}"),
        ("{{ x }}", "chat_template.json", "{{ x }}"),
        ("{{ x }}", "tokenizer_config.json", "{{ x }}"),
        ({"default": "{{ x }}", "rag": "{{ y }}"}, "tokenizer_config.json", "{{ x }}"),
        ([{"name": "rag", "template": "{{ y }}"}, {"name": "default", "template": "{{ x }}"}],
         "tokenizer_config.json", "{{ x }}"),
        ([{"name": "rag", "template": "{{ y }}"}], "tokenizer_config.json", None),
        ("", "chat_template.jinja", None),
        (3, "tokenizer_config.json", None),
    ],
)  # fmt: skip
def test_every_form_is_read(folder: Any, template: Any, form: str, expected: str | None) -> None:
    """Files of all ages, and the default of several named templates."""
    assert stored_template(folder("m", template, form)) == expected


def test_names_and_text_are_taken() -> None:
    """A known name, Jinja text as it is, also with the tag that transformers adds."""
    assert choose("chatml", []) == KNOWN["chatml"]
    text = "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}"
    assert choose(text, []) == text


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("vicuna", "'vicuna' is neither Jinja text nor a known name; known: auto, alpaca, chatml"),
        ("{% for x in y %}", "not valid Jinja, line 1"),
        ("a\n{% nonsense %}", "not valid Jinja, line 2: .*nonsense"),
    ],
)
def test_other_settings_are_refused(setting: str, message: str) -> None:
    """An unknown name, and text that is no template."""
    with pytest.raises(SpecError, match=message):
        choose(setting, [])


@pytest.mark.parametrize("form", ["chat_template.jinja", "tokenizer_config.json"])
@pytest.mark.parametrize("more", [{}, {"chat_template": "auto"}, {"tokenizer": {"source": "base"}}])
def test_the_template_that_an_adapter_was_trained_with_goes_with_it(
    form: str, more: Any, pair: dict[str, Path], recipe: Any, tmp_path: Path
) -> None:
    """It is the model's in the output, whatever template the model had before."""
    for path in pair.values():
        write_tokenizer(path, "abcde")
    (pair["a"] / "chat_template.jinja").write_text("{{ before }}")
    adapter = write_adapter(tmp_path / "lora", pair["a"])
    adapted = {"a": f"{pair['a']}+{adapter}", "b": pair["b"]}
    merge(recipe("linear", adapted, **more), tmp_path / "out")
    assert stored_template(tmp_path / "out") == "{{ before }}"
    text = "{{ x }}"
    content = text if form.endswith("jinja") else json.dumps({"chat_template": text})
    (adapter / form).write_text(content)
    merge(recipe("linear", adapted, **more), tmp_path / "out")
    assert stored_template(tmp_path / "out") == text


def test_a_written_template_replaces_older_forms(folder: Any) -> None:
    """Only one template is left, and transformers finds it."""
    path = folder("m", "{{ old }}", "chat_template.json")
    (path / "tokenizer_config.json").write_text(json.dumps({"chat_template": "{{ old }}", "a": 1}))
    write_template(KNOWN["chatml"], path)
    assert sorted(file.name for file in path.iterdir()) == [
        "chat_template.jinja",
        "tokenizer_config.json",
    ]
    assert json.loads((path / "tokenizer_config.json").read_text()) == {"a": 1}
    assert stored_template(path) == KNOWN["chatml"].strip()
