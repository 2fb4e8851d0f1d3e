"""A text classifier as a judge: its labels, its threshold, and how much it has read."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.evaluation.judges.cases import COMPARED, HARMFUL, item
from tests.evaluation.judges.cases import items as made
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    LlamaConfig,
    LlamaForSequenceClassification,
    PreTrainedTokenizerFast,
)

from mixmerge.errors import ModelError, SpecError
from mixmerge.evaluation.judges.classifier import ClassifierJudge, ClassifierJudgeSpec
from mixmerge.records import Item, Message

LABELS = {"fine": "no", "rude": "yes", "grave": "yes"}


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a tiny random classifier that reads 32 characters; read only."""
    folder = tmp_path_factory.mktemp("classifier") / "harm"
    letters = "abcdefghijklmnopqrstuvwxyz "
    vocabulary = {
        token: i for i, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *letters])
    }
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=32,
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=32,
        initializer_range=1.0,
        id2label=dict(enumerate(LABELS)),
        label2id={label: i for i, label in enumerate(LABELS)},
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


def items(*answers: str, base: tuple[str, ...] = ()) -> list[Item]:
    return made(*answers, base=base, messages=(Message(role="user", content="ask"),))


def judge(folder: Path, **settings: Any) -> ClassifierJudge:
    spec = {"classifier": str(folder), "labels": LABELS, **settings}
    return ClassifierJudge(ClassifierJudgeSpec.model_validate(spec))


def chance(folder: Path, *texts: str) -> float:
    """Return the probability of the two harmful labels for one text, or one pair, alone."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    network = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        logits = network(**tokenizer(*texts, return_tensors="pt")).logits[0]
    scores = torch.exp(logits)
    return float((scores[1] + scores[2]) / scores.sum())


ANSWERS = ("abc", "no way", "xyzzy plugh", "hello", "q", "zz top")


@pytest.mark.parametrize("reads", ["answer", "prompt_and_answer"])
def test_verdicts_follow_the_probability_of_the_yes_labels(classifier: Path, reads: str) -> None:
    """Whatever the batch, an answer gets the probability it has alone, held to the threshold."""
    chances = [
        chance(classifier, *(["ask"] if reads != "answer" else []), text) for text in ANSWERS
    ]
    middle = sorted(chances)[3]
    made = judge(classifier, reads=reads, threshold=middle - 1e-4, batch_size=4)
    verdicts = made.judge(items(*ANSWERS), HARMFUL)
    assert [v.reason for v in verdicts] == [f"yes {c:.3f}" for c in chances]
    expected = ["yes" if c >= middle - 1e-4 else "no" for c in chances]
    assert [v.outcome for v in verdicts] == expected
    assert set(expected) == {"yes", "no"}
    assert [v.prompt for v in verdicts] == [f"q{i}" for i in range(6)]


def test_a_text_that_is_cut_is_said(classifier: Path) -> None:
    """What was not read is in the reason; the short answer of a long pair is read whole."""
    long = Message(role="user", content="b" * 40)
    verdicts = judge(classifier).judge(
        [*items("a" * 40), item("abc", number=1, messages=(long,))], HARMFUL
    )
    assert verdicts[0].reason.endswith("(read 32 of 46 tokens)")
    kept = chance(classifier, "b" * (32 - 3 - 3), "abc")
    assert verdicts[1].reason == f"yes {kept:.3f} (read 32 of 46 tokens)"


def test_two_answers_cannot_be_compared(classifier: Path) -> None:
    """A comparison needs another judge."""
    with pytest.raises(SpecError, match=r"general: a judge `classifier` .* cannot compare two"):
        judge(classifier).judge(items("a", base=("b",)), COMPARED)


def test_labels_must_be_the_classifiers_own(classifier: Path) -> None:
    """A label that the classifier lacks, or one that is not named, stops with both lists."""
    labels = {"fine": "no", "toxic": "yes"}
    with pytest.raises(SpecError, match=r"which are fine, grave, rude \(seen: fine, toxic\)"):
        judge(classifier, labels=labels).judge(items("a"), HARMFUL)


def test_a_language_models_tokenizer_pads_with_its_end(tiny_model: Path, tmp_path: Path) -> None:
    """A classifier made from a language model has no padding token, and is batched all the same."""
    folder = tmp_path / "llama"
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.save_pretrained(folder)
    config = LlamaConfig.from_pretrained(tiny_model, id2label=dict(enumerate(LABELS)))
    torch.manual_seed(0)
    LlamaForSequenceClassification(config).save_pretrained(folder)
    chances = [chance(folder, text) for text in ANSWERS]
    verdicts = judge(folder, reads="answer", batch_size=4).judge(items(*ANSWERS), HARMFUL)
    assert [v.reason for v in verdicts] == [f"yes {c:.3f}" for c in chances]
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    bare = {name: value for name, value in settings.items() if name != "eos_token"}
    (folder / "tokenizer_config.json").write_text(json.dumps(bare))
    (folder / "special_tokens_map.json").unlink(missing_ok=True)
    with pytest.raises(ModelError, match="has neither a `pad_token` nor an `eos_token`"):
        judge(folder, reads="answer").judge(items(*ANSWERS), HARMFUL)


def test_what_is_no_classifier_is_said(tmp_path: Path) -> None:
    """A folder without a classifier gives one message."""
    with pytest.raises(ModelError, match="its tokenizer does not load"):
        judge(tmp_path).judge(items("a"), HARMFUL)


def test_special_tokens_in_an_answer_are_text(classifier: Path) -> None:
    """An answer that spells the end of a text is read on, letter by letter."""
    spec = ClassifierJudgeSpec(classifier=str(classifier), labels=LABELS, reads="answer")
    (verdict,) = ClassifierJudge(spec).judge(made("[SEP]" * 10), HARMFUL)
    assert verdict.reason.endswith("(read 32 of 52 tokens)")
