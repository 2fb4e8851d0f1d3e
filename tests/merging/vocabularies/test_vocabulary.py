"""Vocabularies of real tokenizers brought together: ids, files, rows."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from mixmerge.errors import ModelError, SpecError
from mixmerge.merging.engine import merge
from mixmerge.merging.kernels import Array
from mixmerge.merging.models.checkpoint import Checkpoint
from mixmerge.merging.models.sources import StoredSource, WeightFile
from mixmerge.merging.recipes.sections import TokenizerRecipe
from mixmerge.merging.vocabularies.chat_template import KNOWN
from mixmerge.merging.vocabularies.vocabulary import Vocabulary, align

ENGLISH = ["the cat sat on the mat", "the dog sat on the log", "that cat and that dog"] * 5
FRENCH = ["le chat est sur le tapis", "le chien est sur la table", "ce chat et ce chien"] * 5


def byte_level(
    texts: Sequence[str], size: int, added: Sequence[AddedToken | str] = ()
) -> Tokenizer:
    """Train a byte-level BPE tokenizer."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens([token for token in added if isinstance(token, str)])
    tokenizer.add_special_tokens([token for token in added if isinstance(token, AddedToken)])
    return tokenizer


def unigram(texts: Sequence[str], size: int) -> Tokenizer:
    """Train a unigram tokenizer."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=size, unk_token="<unk>", special_tokens=["<unk>"], show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def special(text: str) -> AddedToken:
    return AddedToken(text, special=True, normalized=False)


@pytest.fixture
def make(model: Any) -> Any:
    """Write a model whose row i of the embedding is [id + offset] * 2, and its tokenizer."""

    def write(
        name: str,
        tokenizer: Tokenizer,
        offset: float = 0,
        *,
        rows: int | None = None,
        **config: Any,
    ) -> Checkpoint:
        count = rows or tokenizer.get_vocab_size()
        values = np.repeat(np.arange(count, dtype=np.float32)[:, None] + offset, 2, axis=1)
        folder = model(name, {"model.embed_tokens.weight": values}, config=config)
        tokenizer.save(str(folder / "tokenizer.json"))
        stored = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 64}
        (folder / "tokenizer_config.json").write_text(json.dumps(stored))
        return Checkpoint(name, folder)

    return write


def rows_of(
    vocabulary: Vocabulary, checkpoints: Sequence[Checkpoint], base: str | None
) -> list[Array]:
    """Read every model's aligned embedding; one column, since both are the same."""
    tensor = "model.embed_tokens.weight"
    assert vocabulary.covers(tensor)
    sources = [
        StoredSource(checkpoint.tensors[tensor], WeightFile(checkpoint.path / "model.safetensors"))
        for checkpoint in checkpoints
    ]
    result = []
    names = [checkpoint.name for checkpoint in checkpoints]
    for source in vocabulary.aligned(names, sources, base):
        out = np.empty(source.shape[0] * 2, np.float32)
        source.read(0, out)
        result.append(out[::2])
    return result


def written(vocabulary: Vocabulary, folder: Path, donor: str) -> Tokenizer:
    folder.mkdir()
    vocabulary.write(folder, donor)
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def test_union_keeps_the_base_and_appends_the_rest(make: Any, tmp_path: Path) -> None:
    """Ids of the base stay; then plain tokens by model and id, then added ones; rows follow."""
    english = byte_level(ENGLISH, 280, [special("<|user|>"), "cheese"])
    french = byte_level(FRENCH, 275, [special("<|end|>"), special("<|user|>")])
    base, other = make("base", english, 1000), make("other", french, 5000)
    vocabulary = align(TokenizerRecipe(), [base, other], "base")
    mine, theirs = english.get_vocab(), french.get_vocab()
    new = [token for token in sorted(theirs, key=lambda word: theirs[word]) if token not in mine]
    plain = [token for token in new if token != "<|end|>"]
    expected = {**mine, **{token: len(mine) + at for at, token in enumerate([*plain, "<|end|>"])}}
    assert vocabulary.tokens == expected
    assert len(plain) > 5
    first, second = rows_of(vocabulary, [base, other], "base")
    for token, number in expected.items():
        lent = mine[token] + 1000 if token in mine else theirs[token] + 5000
        assert first[number] == lent
        assert second[number] == (theirs[token] + 5000 if token in theirs else lent)
    saved = written(vocabulary, tmp_path / "out", "base")
    assert saved.get_vocab() == expected
    assert saved.get_added_tokens_decoder()[expected["<|end|>"]].special


@pytest.mark.parametrize(("kind", "known"), [(byte_level, FRENCH[:3]), (unigram, [])])
def test_a_union_splits_text_as_the_base_does(
    kind: Any, known: list[str], make: Any, tmp_path: Path
) -> None:
    """Tokens of others are neither found inside words nor at letters that stand for spaces."""
    english, french = kind(ENGLISH, 290), kind(FRENCH, 290)
    models_ = [make("base", english), make("other", french)]
    vocabulary = align(TokenizerRecipe(source="union"), models_, "base")
    saved = written(vocabulary, tmp_path / "out", "base")
    assert len(vocabulary.tokens) > english.get_vocab_size() + 5
    strange = ["Ġle ▁le Ġħ", "lechatestsurletapis"] if known else []
    for text in [*ENGLISH[:3], *known, *strange, "thecatsatonthemat"]:
        assert saved.encode(text).ids == english.encode(text).ids
    theirs = french.encode("le chat est sur la table").tokens
    assert saved.decode([vocabulary.tokens[token] for token in theirs]).strip() == (
        "le chat est sur la table"
    )


def test_a_union_is_loaded_by_transformers(make: Any, tmp_path: Path) -> None:
    """AutoTokenizer gives the same ids as the tokenizers library, special tokens included."""
    from transformers import AutoTokenizer

    base = make("base", byte_level(ENGLISH, 280, [special("<|user|>")]))
    other = make("other", byte_level(FRENCH, 280, [special("<|end|>")]))
    vocabulary = align(TokenizerRecipe(), [base, other], "base")
    saved = written(vocabulary, tmp_path / "out", "base")
    loaded = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert loaded.get_vocab() == vocabulary.tokens
    text = "<|user|>the chat<|end|>"
    assert loaded(text).input_ids == saved.encode(text).ids
    assert loaded("<|end|>").input_ids == [vocabulary.tokens["<|end|>"]]


def test_base_and_named_model_give_their_vocabulary(make: Any, tmp_path: Path) -> None:
    """The files of the chosen model are copied as they are, and the other is put in its order."""
    english, french = byte_level(ENGLISH, 270), byte_level(FRENCH, 275)
    checkpoints = [make("base", english, 1000), make("other", french, 5000)]
    for number, (source, tokenizer) in enumerate([("base", english), ("other", french)]):
        vocabulary = align(TokenizerRecipe(source=source), checkpoints, "base")
        assert vocabulary.tokens == tokenizer.get_vocab()
        out = tmp_path / f"out-{source}"
        written(vocabulary, out, "base")
        for name in ("tokenizer.json", "tokenizer_config.json"):
            assert (out / name).read_bytes() == (checkpoints[number].path / name).read_bytes()
        own = rows_of(vocabulary, checkpoints, "base")[number]
        assert own.tolist() == [at + (1000, 5000)[number] for at in range(len(own))]


def test_without_a_base_the_first_model_stands_for_it(make: Any) -> None:
    """`base` and the ids of `union` are then the first model's; rows have no preferred model."""
    tokenizer, one = byte_level(ENGLISH, 270), byte_level(ENGLISH, 270, [special("<x>")])
    checkpoints = [make("a", tokenizer, 0), make("b", one, 1000), make("c", one, 3000)]
    vocabulary = align(TokenizerRecipe(source="base"), checkpoints, None)
    assert vocabulary.tokens == tokenizer.get_vocab()
    union = align(TokenizerRecipe(), checkpoints, None)
    assert rows_of(union, checkpoints, None)[0][-1] == union.tokens["<x>"] + 2000


def test_another_folder_can_give_the_tokenizer(make: Any) -> None:
    """A tokenizer that belongs to no input is taken as it is."""
    base, third = make("a", byte_level(ENGLISH, 270)), make("third", byte_level(FRENCH, 265))
    recipe = TokenizerRecipe(source="elsewhere")
    vocabulary = align(recipe, [base], None, source=third.path)
    assert vocabulary.tokens == Tokenizer.from_file(str(third.path / "tokenizer.json")).get_vocab()
    with pytest.raises(SpecError, match="`elsewhere` is neither union, base nor an input"):
        align(recipe, [base], None)


def test_rules_for_single_tokens(make: Any) -> None:
    """A rule adds its token and gives its row: zeros, another token's row, or another model's."""
    tokenizer = byte_level(ENGLISH, 270)
    with_x = byte_level(ENGLISH, 270, [special("<x>")])
    checkpoints = [make("a", tokenizer, 0), make("b", with_x, 1000), make("c", with_x, 3000)]
    rules: dict[str, Any] = {
        "<zero>": {"source": {"kind": "zero"}},
        "<copy>": {"source": {"kind": "model_token", "model": "b", "token": "a"}},
        "<id>": {"source": {"kind": "model_token", "model": "b", "token_id": 7}},
        "<x>": {"source": "c"},
        "b": {"source": {"kind": "model_token", "model": "c", "token_id": 1}, "force": True},
    }
    vocabulary = align(TokenizerRecipe.model_validate({"tokens": rules}), checkpoints, "a")
    at = vocabulary.tokens
    assert [at[token] for token in ("<x>", "<zero>", "<copy>", "<id>")] == [270, 271, 272, 273]
    first, second, third = rows_of(vocabulary, checkpoints, "a")
    for rows in (first, second, third):
        assert rows[at["<zero>"]] == 0
        assert rows[at["<copy>"]] == 1000 + tokenizer.get_vocab()["a"]
        assert rows[at["<id>"]] == 1007
        assert rows[at["b"]] == 3001
    assert [rows[at["<x>"]] for rows in (first, second, third)] == [3270, 1270, 3270]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("z", "its row is that of `z`, which is not merged here; name one of a, b"),
        ("a", "a does not have '<new>'"),
        ({"kind": "model_token", "model": "a", "token": "nope"}, "a does not have 'nope'"),
        ({"kind": "model_token", "model": "a", "token_id": 999}, "id 999 is asked for; a has 270"),
    ],
)
def test_rules_that_ask_for_nothing_are_refused(make: Any, source: Any, message: str) -> None:
    """A row that is not there is named with its token and model."""
    checkpoints = [make(name, byte_level(ENGLISH, 270)) for name in "ab"]
    recipe = TokenizerRecipe.model_validate({"tokens": {"<new>": {"source": source}}})
    vocabulary = align(recipe, checkpoints, "a")
    with pytest.raises(SpecError, match=f"token '<new>': {message}"):
        rows_of(vocabulary, checkpoints, "a")


def test_padding_rows_of_inputs_vanish_and_new_ones_are_means(make: Any) -> None:
    """Rows beyond the tokens are dropped; `pad_to_multiple_of` adds rows that are the mean."""
    padded = make("a", byte_level(ENGLISH, 270), rows=300)
    plain = align(TokenizerRecipe(source="base"), [padded], None)
    assert rows_of(plain, [padded], None)[0].tolist() == list(range(270))
    rounded = align(TokenizerRecipe(source="base", pad_to_multiple_of=64), [padded], None)
    (rows,) = rows_of(rounded, [padded], None)
    assert rounded.rows == len(rows) == 320
    assert rows[:270].tolist() == list(range(270))
    assert rows[270:].tolist() == [269 / 2] * 50
    exact = align(TokenizerRecipe(source="base", pad_to_multiple_of=27), [padded], None)
    assert exact.rows == 270


def test_tokens_without_a_row_are_left_out(make: Any, tmp_path: Path) -> None:
    """A padding token that was added without growing the embedding is no token of the output."""
    tokenizer = byte_level(ENGLISH, 280, [special("[PAD]")])
    base = make("a", tokenizer, rows=278)
    stored = {"pad_token": "[PAD]", "eos_token": "a", "extra_special_tokens": ["[PAD]", "a"],
                "added_tokens_decoder": {"280": {"content": "[PAD]"}}}  # fmt: skip
    (base.path / "tokenizer_config.json").write_text(json.dumps(stored))
    vocabulary = align(TokenizerRecipe(source="base"), [base], None)
    assert sorted(vocabulary.tokens.values()) == list(range(278))
    saved = written(vocabulary, tmp_path / "out", "a")
    assert max(saved.encode("the cat sat on the mat [PAD]").ids) < 278
    assert saved.decode(saved.encode("that cat and that dog").ids) == "that cat and that dog"
    kept = json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())
    assert kept == {"eos_token": "a", "extra_special_tokens": ["a"], "added_tokens_decoder": {}}


def test_pieces_without_a_row_cannot_leave_a_unigram_model(make: Any) -> None:
    """Only BPE tokens can be taken out; the message names the token."""
    short = make("a", unigram(ENGLISH, 40), rows=10)
    with pytest.raises(
        ModelError, match=r"token .* has no row .* cannot be taken out of a Unigram"
    ):
        align(TokenizerRecipe(source="base"), [short], None)


def test_ids_in_settings_follow_their_tokens(make: Any, tmp_path: Path) -> None:
    """Beginning, end and padding stay the same tokens under their new ids, also in lists."""
    english = byte_level(ENGLISH, 270, [special("<s>"), special("</s>")])
    french = byte_level(FRENCH, 275, [special("</s>")])
    checkpoints = [make("base", english), make("other", french)]
    vocabulary = align(TokenizerRecipe(source="other"), checkpoints, "base")
    end = english.get_vocab()["</s>"]
    stored = {"eos_token_id": [end, end + 500], "pad_token_id": end, "vocab_size": end,
                "bos_token_id": end - 1, "text_config": {"eos_token_id": end}}  # fmt: skip
    new = french.get_vocab()["</s>"]
    assert new != end
    expected = {"eos_token_id": [new], "pad_token_id": new, "vocab_size": end,
                "bos_token_id": None, "text_config": {"eos_token_id": new}}  # fmt: skip
    assert vocabulary.with_new_ids(stored, "base") == expected
    out = tmp_path / "out"
    out.mkdir()
    (out / "generation_config.json").write_text(json.dumps(stored))
    (out / "merges.txt").write_text("stale")
    vocabulary.write(out, "base")
    assert json.loads((out / "generation_config.json").read_text()) == expected
    assert not (out / "merges.txt").exists()


def test_other_forms_of_an_extended_tokenizer_are_not_copied(make: Any, tmp_path: Path) -> None:
    """What is not true of the new vocabulary stays behind; with an unchanged one it comes along."""
    base = make("base", byte_level(ENGLISH, 270))
    other = make("other", byte_level(ENGLISH, 270, [special("<x>")]))
    for name in ("merges.txt", "vocab.json", "chat_template.jinja"):
        (base.path / name).write_text(name)
    written(align(TokenizerRecipe(source="base"), [base], None), tmp_path / "same", "base")
    written(align(TokenizerRecipe(), [base, other], "base"), tmp_path / "grown", "base")
    kept = {file.name for file in (tmp_path / "grown").iterdir()}
    assert kept == {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}
    assert {"merges.txt", "vocab.json"} <= {file.name for file in (tmp_path / "same").iterdir()}


def test_a_tokenizer_in_an_older_form_is_converted(make: Any, tmp_path: Path) -> None:
    """A folder with vocab.json and merges.txt only gets a tokenizer.json with the same ids."""
    tokenizer = byte_level(ENGLISH, 270)
    base = make("base", tokenizer)
    (base.path / "tokenizer.json").unlink()
    tokenizer.model.save(str(base.path))
    specials = dict.fromkeys(("unk_token", "bos_token", "eos_token"), "!")
    stored = {"tokenizer_class": "GPT2Tokenizer", **specials}
    (base.path / "tokenizer_config.json").write_text(json.dumps(stored))
    (base.path / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    vocabulary = align(TokenizerRecipe(source="base"), [Checkpoint("base", base.path)], None)
    assert vocabulary.tokens == tokenizer.get_vocab()
    saved = written(vocabulary, tmp_path / "out", "base")
    assert saved.encode("the cat sat").ids == tokenizer.encode("the cat sat").ids


@pytest.mark.parametrize("content", ["[]", "{}", '{"model": {"vocab": [1]}}', "nonsense"])
def test_a_broken_tokenizer_is_refused(content: str, make: Any) -> None:
    """The file is named."""
    base = make("base", byte_level(ENGLISH, 270))
    (base.path / "tokenizer.json").write_text(content)
    with pytest.raises(ModelError, match=r"tokenizer\.json: not a tokenizer of"):
        align(TokenizerRecipe(), [base], None)


def test_a_missing_tokenizer_is_refused(make: Any) -> None:
    """No other model's tokenizer is assumed in its place."""
    base = make("base", byte_level(ENGLISH, 270))
    (base.path / "tokenizer.json").unlink()
    (base.path / "tokenizer_config.json").unlink()
    with pytest.raises(ModelError, match=r"no tokenizer\.json; copy the tokenizer files"):
        align(TokenizerRecipe(), [base], None)


def test_ids_are_the_same_in_every_process(make: Any) -> None:
    """Hash seeds decide nothing."""
    folders = [
        str(make("base", byte_level(ENGLISH, 280, [special("<x>"), special("<y>")])).path),
        str(make("other", byte_level(FRENCH, 280, [special("<z>"), special("<w>")])).path),
    ]
    script = (
        "import sys, json; from pathlib import Path\n"
        "from mixmerge.merging.models.checkpoint import Checkpoint\n"
        "from mixmerge.merging.vocabularies.vocabulary import align\n"
        "from mixmerge.merging.recipes.sections import TokenizerRecipe\n"
        "models = [Checkpoint(path, Path(path)) for path in sys.argv[1:]]\n"
        "print(json.dumps(align(TokenizerRecipe(), models, None).tokens))\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)\n"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", script, *folders],
            env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    ]  # fmt: skip
    assert outputs[0] == outputs[1]


@pytest.mark.parametrize("tied", [False, True])
def test_a_merge_with_two_vocabularies_answers_as_its_models_would(
    tied: bool, tmp_path: Path
) -> None:
    """Merged with weights 1 and 0, the union gives the first model's logits for its own text."""
    from transformers import (
        AutoModelForCausalLM,
        AutoTokenizer,
        LlamaConfig,
        LlamaForCausalLM,
        PreTrainedTokenizerFast,
    )

    stored = {
        "a": byte_level(ENGLISH, 280, [special("</s>")]),
        "b": byte_level(FRENCH, 290, [special("<|end|>"), special("</s>")]),
    }
    for seed, (name, tokenizer) in enumerate(stored.items()):
        torch.manual_seed(seed)
        end = tokenizer.get_vocab()["</s>"]
        config = LlamaConfig(
            vocab_size=tokenizer.get_vocab_size() + 8 * seed, hidden_size=16, intermediate_size=20,
            num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, eos_token_id=end,
            bos_token_id=None, pad_token_id=end, tie_word_embeddings=tied,
        )  # fmt: skip
        LlamaForCausalLM(config).save_pretrained(tmp_path / name)
        PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>").save_pretrained(
            tmp_path / name
        )
    models_ = [
        {"model": str(tmp_path / name), "parameters": {"weight": weight}}
        for name, weight in (("a", 0.0), ("b", 1.0))
    ]
    recipe = {"merge_method": "linear", "models": models_, "chat_template": "chatml"}
    tokenizer_rule = {"source": "union", "pad_to_multiple_of": 64}
    merge({**recipe, "tokenizer": tokenizer_rule}, tmp_path / "out")
    merged, info = AutoModelForCausalLM.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    loaded = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert merged.config.vocab_size == 320 >= len(loaded)
    assert (
        merged.config.eos_token_id == merged.generation_config.eos_token_id == loaded.eos_token_id
    )
    assert merged.config.tie_word_embeddings == tied
    assert loaded.chat_template == KNOWN["chatml"]
    other = AutoModelForCausalLM.from_pretrained(tmp_path / "b")
    theirs, ours = stored["b"].get_vocab(), loaded.get_vocab()
    words = [token for token in theirs if token in ours]
    text = [words[number] for number in (5, 260, 100, -1)]
    with torch.no_grad():
        there = other(torch.tensor([[theirs[word] for word in text]])).logits[0]
        here = merged(torch.tensor([[ours[word] for word in text]])).logits[0]
    mine = torch.stack([here[:, ours[word]] for word in words], 1)
    torch.testing.assert_close(mine, torch.stack([there[:, theirs[word]] for word in words], 1))


def test_an_interrupted_merge_is_not_continued_with_other_tokens(make: Any) -> None:
    """The vocabulary is part of what identifies a merge."""
    base = make("base", byte_level(ENGLISH, 270))
    other = make("other", byte_level(ENGLISH, 270, [special("<x>")]))
    before = align(TokenizerRecipe(), [base, other], "base").fingerprint
    assert before == align(TokenizerRecipe(), [base, other], "base").fingerprint
    byte_level(ENGLISH, 270, [special("<y>")]).save(str(other.path / "tokenizer.json"))
    assert before != align(TokenizerRecipe(), [base, other], "base").fingerprint


def test_broken_settings_are_refused_before_the_merge(make: Any) -> None:
    """What will be written after the merge can be read before it."""
    base, third = make("base", byte_level(ENGLISH, 270)), make("third", byte_level(FRENCH, 270))
    (third.path / "tokenizer_config.json").write_text("{")
    with pytest.raises(ModelError, match=r"tokenizer_config\.json: not valid JSON"):
        align(TokenizerRecipe(source="elsewhere"), [base], None, source=third.path)


def test_rows_far_beyond_the_tokens_are_refused(make: Any) -> None:
    """Ids or padding that would make billions of rows are a mistake and not a request."""
    base = make("base", byte_level(ENGLISH, 270))
    with pytest.raises(SpecError, match=r"1,000,000,000,000 rows for 270 tokens; check the ids"):
        align(TokenizerRecipe(pad_to_multiple_of=10**12), [base], None)
    far = make("far", byte_level(ENGLISH, 270))
    content = json.loads((far.path / "tokenizer.json").read_text())
    content["model"]["vocab"]["far"] = 4_000_000_000
    (far.path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(SpecError, match=r"4,000,000,001 rows for 271 tokens"):
        align(TokenizerRecipe(source="elsewhere"), [base], None, source=far.path)


def test_further_tables_of_tokens_are_refused(make: Any, model: Any) -> None:
    """Rows of tokens that would keep their old order are no silent mistake; positions are none."""
    grown = byte_level(ENGLISH, 270, [special("<x>")])
    base, other = make("base", byte_level(ENGLISH, 270)), make("other", grown)
    for name, refused in (
        ("embed_positions", False),
        ("layers.0.attention.output", False),
        ("embed_tokens_per_layer", True),
        ("layers.0.shared_head.head", True),
    ):
        tables = dict.fromkeys(
            ("model.embed_tokens.weight", f"model.{name}.weight"), np.zeros((270, 2), np.float32)
        )
        folder = model("tables", tables)
        (folder / "tokenizer.json").write_bytes((base.path / "tokenizer.json").read_bytes())
        tabled = Checkpoint("tables", folder)
        assert align(TokenizerRecipe(), [tabled, base], "tables").rows == 270
        if refused:
            with pytest.raises(ModelError, match=rf"{name}\.weight has rows for tokens besides"):
                align(TokenizerRecipe(), [tabled, other], "tables")
        else:
            assert align(TokenizerRecipe(), [tabled, other], "tables").rows == 271
