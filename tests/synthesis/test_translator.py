"""Translation models: real tokenizers and networks, taught a cipher of four letters in a second."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from mixmerge.errors import ModelError
from mixmerge.files import read_rows
from mixmerge.synthesis.engine import generate
from mixmerge.synthesis.row import DROPPED, ROWS, DroppedRow, Row
from mixmerge.synthesis.spec import GenerateDataSpec
from mixmerge.synthesis.translator import Translator

LETTERS = "abcd"
CODES = {"en": "eng_Latn", "fr": "fra_Latn", "de": "deu_Latn"}
MARKS = {"en": "<2en>", "fr": "<2fr>", "de": "<2de>"}


def cipher(letter: str, steps: int) -> str:
    """Return the letter so many places further."""
    return LETTERS[(LETTERS.index(letter) + steps) % len(LETTERS)]


def taught(
    network: PreTrainedModel, rows: Sequence[Sequence[int]], labels: Sequence[Sequence[int]]
) -> PreTrainedModel:
    """Train a tiny network on all pairs at once, until it knows them by heart."""
    inputs, wanted = torch.tensor(rows), torch.tensor(labels)
    optimizer = torch.optim.AdamW(network.parameters(), lr=4e-3)
    for _ in range(200):
        optimizer.zero_grad()
        network(input_ids=inputs, labels=wanted).loss.backward()
        optimizer.step()
    return network.eval()


@pytest.fixture(scope="module")
def nllb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model in NLLB's format: the shift of a letter follows from both languages' codes."""
    from transformers import M2M100Config, M2M100ForConditionalGeneration, NllbTokenizer

    letters = [*LETTERS, *(f"▁{letter}" for letter in LETTERS)]
    names = ["<s>", "<pad>", "</s>", "<unk>", "▁", *letters]
    tokenizer = NllbTokenizer(
        vocab={name: place for place, name in enumerate(names)},
        merges=[("▁", letter) for letter in LETTERS],
        additional_special_tokens=[*CODES.values()],
    )
    torch.manual_seed(0)
    network = M2M100ForConditionalGeneration(
        M2M100Config(
            vocab_size=len(tokenizer), d_model=32, init_std=0.2, scale_embedding=False,
            max_position_embeddings=16, encoder_layers=1, decoder_layers=1,
            encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=64,
            decoder_ffn_dim=64, dropout=0.0, attention_dropout=0.0, activation_dropout=0.0,
            encoder_layerdrop=0.0, decoder_layerdrop=0.0, decoder_start_token_id=2,
            eos_token_id=2, pad_token_id=1, bos_token_id=0,
        )
    )  # fmt: skip
    rows, labels, order = [], [], [*CODES.values()]
    for source in order:
        tokenizer.src_lang = source
        for target in order:
            for letter in LETTERS:
                out = cipher(letter, order.index(target) - order.index(source))
                rows.append(tokenizer(letter).input_ids)
                labels.append(tokenizer.convert_tokens_to_ids([target, f"▁{out}", "</s>"]))
    # What a model's files say of lengths and sampling does not count.
    network.generation_config.update(max_length=2, do_sample=True)
    return saved(taught(network, rows, labels), tokenizer, tmp_path_factory.mktemp("nllb"))


@pytest.fixture(scope="module")
def madlad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model in MADLAD's format: the target is a token before the text."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

    names = ["<pad>", "</s>", "<unk>", *MARKS.values(), *LETTERS]
    vocabulary = {name: place for place, name in enumerate(names)}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words.post_processor = processors.TemplateProcessing("$A </s>", special_tokens=[("</s>", 1)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
    torch.manual_seed(0)
    network = T5ForConditionalGeneration(
        T5Config(
            vocab_size=len(names), d_model=32, d_kv=16, d_ff=64, num_layers=1, num_heads=2,
            dropout_rate=0.0, decoder_start_token_id=0, eos_token_id=1, pad_token_id=0,
            tie_word_embeddings=False, initializer_factor=1.0,
        )
    )  # fmt: skip
    pairs = [(mark, steps, letter) for steps, mark in enumerate(MARKS.values())
             for letter in LETTERS]  # fmt: skip
    rows = [tokenizer(f"{mark} {letter}").input_ids for mark, _, letter in pairs]
    labels = [tokenizer(cipher(letter, steps)).input_ids for _, steps, letter in pairs]
    return saved(taught(network, rows, labels), tokenizer, tmp_path_factory.mktemp("madlad"))


def saved(network: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> Path:
    """Write a model folder."""
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def spec_of(
    tmp_path: Path, folder: Path, languages: dict[str, str], step: Any = (), **model: Any
) -> GenerateDataSpec:
    """Translate three prompts from English into French and German; one has two paragraphs."""
    seeds = tmp_path / "seeds.csv"
    seeds.write_text('prompt,id\na,one\nc,two\n"b\n\nd",three\n')
    return GenerateDataSpec.model_validate(
        {
            "seeds": {"s": {"files": str(seeds), "language": "en", "licence": "CC0-1.0"}},
            "models": {"m": {"seq2seq": str(folder), "languages": languages, **model}},
            "steps": [{"translate": ["fr", "de"], "max_tokens": 8, **dict(step)}],
        }
    )


def texts(out: Path) -> dict[tuple[str, str], str]:
    """Return the translated texts by seed and language."""
    rows = read_rows(out / ROWS, Row)
    return {(row.provenance.seed, row.language): row.asked[0].content for row in rows}


WANTED = {
    ("one", "fr"): "b", ("one", "de"): "c", ("two", "fr"): "d", ("two", "de"): "a",
    ("three", "fr"): "c\n\na", ("three", "de"): "d\n\nb",
}  # fmt: skip


@pytest.mark.parametrize("model", ["nllb", "madlad"])
def test_texts_are_translated_line_by_line(
    tmp_path: Path, model: str, request: pytest.FixtureRequest
) -> None:
    """The target's code is the first token, or stands before the text; line breaks are kept."""
    languages = CODES if model == "nllb" else MARKS
    folder = request.getfixturevalue(model)
    report = generate(spec_of(tmp_path, folder, languages), tmp_path / "out")
    assert report.rows == 6
    assert texts(tmp_path / "out") == WANTED
    row = next(row for row in read_rows(tmp_path / "out" / ROWS, Row) if row.language == "fr")
    (by,) = row.provenance.made_by
    assert row.provenance.translated == "machine"
    assert (by.prompt, by.parameters["as"], by.parameters["beams"]) == ("", languages["fr"], 4)
    assert by.model.startswith(f"{folder.name}-")


def test_the_source_counts_and_translations_back_are_checked(nllb: Path, tmp_path: Path) -> None:
    """Back in English every text is the seed again, since the source's code is set, too."""
    step = {"back_translation": {"chrf": 99}}
    generate(spec_of(tmp_path, nllb, CODES, step), tmp_path / "out")
    rows = read_rows(tmp_path / "out" / ROWS, Row)
    assert len(rows) == 6
    assert {row.provenance.made_by[-1].measured["chrf"] for row in rows} == {100}


def test_batches_change_nothing(nllb: Path, tmp_path: Path) -> None:
    """One line at a time or all at once, greedy or by beams: the cipher has one answer."""
    for number, more in enumerate(({"batch_size": 1}, {"batch_size": 50, "beams": 1})):
        out = tmp_path / str(number)
        generate(spec_of(tmp_path, nllb, CODES, **more), out)
        assert texts(out) == WANTED


def test_no_line_is_translated_twice(
    nllb: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an interruption, finished lines come from the journal."""
    whole = Translator._translated
    done: list[str] = []

    def dies(self: Translator, lines: Any) -> Any:
        if len(done) == 3:
            raise KeyboardInterrupt
        done.extend(lines)
        return whole(self, lines)

    spec, out = spec_of(tmp_path, nllb, CODES, batch_size=1), tmp_path / "out"
    monkeypatch.setattr(Translator, "_translated", dies)
    with pytest.raises(KeyboardInterrupt):
        generate(spec, out)

    def counts(self: Translator, lines: Any) -> Any:
        done.extend(lines)
        return whole(self, lines)

    monkeypatch.setattr(Translator, "_translated", counts)
    generate(spec, out)
    assert len(done) == len({*done}) == 8  # a, b, c and d in two languages
    assert texts(out) == WANTED


def test_what_cannot_be_translated_is_dropped(nllb: Path, tmp_path: Path) -> None:
    """A line that is too long for the model, with the numbers, and a language that it lacks."""
    spec = spec_of(tmp_path, nllb, CODES)
    (tmp_path / "seeds.csv").write_text(f"prompt,language\na,en\n{'a ' * 20},en\nb,hi\n")
    spec = spec.model_copy(
        update={"seeds": {"s": spec.seeds["s"].model_copy(update={"language": None})}}
    )
    assert generate(spec, tmp_path / "out").rows == 2
    dropped = read_rows(tmp_path / "out" / DROPPED, DroppedRow)
    assert sorted((row.reason, row.detail) for row in dropped) == [
        ("a language that the model lacks", "m from hi into fr"),
        *[("longer than the model reads", "a line of 23 tokens; the model reads 16")] * 2,
    ]


def test_a_code_that_the_tokenizer_lacks(nllb: Path, tmp_path: Path) -> None:
    """The message shows how codes are written."""
    spec = spec_of(tmp_path, nllb, {"en": "eng_Latn", "fr": "fr", "de": "de"})
    with pytest.raises(ModelError, match=r"has no language 'fr'; `languages` maps ISO 639 codes"):
        generate(spec, tmp_path / "out")


def test_a_causal_model_is_no_translation_model(tmp_path: Path, nllb: Path) -> None:
    """A folder of another kind is refused when it is loaded."""
    from transformers import LlamaConfig, LlamaForCausalLM, NllbTokenizer

    config = LlamaConfig(vocab_size=20, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
                         num_attention_heads=1, max_position_embeddings=16)  # fmt: skip
    folder = saved(
        LlamaForCausalLM(config), NllbTokenizer.from_pretrained(nllb), tmp_path / "causal"
    )
    with pytest.raises(ModelError, match=r"causal: is no sequence-to-sequence model"):
        generate(spec_of(tmp_path, folder, CODES), tmp_path / "out")


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ({"rephrase": 2}, r"`m` is a translation model and follows no instruction"),
        ({"translate": ["fr", "hi"]}, r"`m` writes no hi \(its `languages`: `?en`?, `?fr`?"),
    ],
)
def test_what_a_translation_model_is_not_asked(tmp_path: Path, step: Any, said: str) -> None:
    """Other recipes, and languages that it does not write, are refused with the file."""
    content = spec_of(tmp_path, tmp_path, CODES).model_dump(mode="json", exclude_defaults=True)
    with pytest.raises(ValueError, match=said):
        GenerateDataSpec.model_validate(content | {"steps": [step]})
