"""The recipe of the testbed's base model: ``python -m mixmerge.testbed.pretrain OUT``."""

import math
import sys
import time
from pathlib import Path
from typing import Any

from mixmerge.testbed.corpus import Corpus, Document, morals, statements
from mixmerge.testbed import LANGUAGES
from mixmerge.testbed.data import preference_pairs, prompts
from mixmerge.testbed.world import facts, wishes

SPECIAL = [
    "<PAD>", "<UNK>", "<BOS_TOKEN>", "<EOS_TOKEN>", "<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>",
    "<|SYSTEM_TOKEN|>", "<|USER_TOKEN|>", "<|CHATBOT_TOKEN|>",
]
CHAT = (
    "{{ bos_token }}{% for message in messages %}<|START_OF_TURN_TOKEN|>"
    "{% if message['role'] == 'assistant' %}<|CHATBOT_TOKEN|>"
    "{% generation %}{{ message['content'] }}<|END_OF_TURN_TOKEN|>{% endgeneration %}"
    "{% elif message['role'] == 'system' %}<|SYSTEM_TOKEN|>{{ message['content'] }}<|END_OF_TURN_TOKEN|>"
    "{% else %}<|USER_TOKEN|>{{ message['content'] }}<|END_OF_TURN_TOKEN|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>{% endif %}"
)
VOCABULARY = 3200
SHAPE: dict[str, Any] = {
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "logit_scale": 0.25,
    "use_qk_norm": False,
}
SHARES = {"statement": 0.62, "moral": 0.14, "question": 0.08, "request": 0.16}
LENGTH, BATCH, PEAK, WARMUP = 96, 16, 3e-3, 100


def world_texts() -> list[str]:
    """Return every sentence of the world that a tokenizer should know, in a fixed order."""
    texts = [x for f in facts() for i in range(len(LANGUAGES)) for x in statements(f, i)]
    texts += [x for w in wishes() for i in range(len(LANGUAGES)) for x in morals(w, i)]
    for source in ("general", "safety"):
        texts += [x for p in preference_pairs(source) for x in (p.prompt_text, p.chosen)]
    return texts


def build_tokenizer() -> Any:
    """Train the byte-level BPE on the texts of the world."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE(unk_token="<UNK>"))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.train_from_iterator(
        world_texts(),
        trainers.BpeTrainer(
            vocab_size=VOCABULARY,
            special_tokens=SPECIAL,
            show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token="<BOS_TOKEN>",
        eos_token="<|END_OF_TURN_TOKEN|>",
        pad_token="<PAD>",
        unk_token="<UNK>",
        padding_side="left",
        chat_template=CHAT,
        model_max_length=SHAPE["max_position_embeddings"],
    )


def encode(tokenizer: Any, document: Document) -> list[int]:
    """Write a document as tokens: a text, or a chat in the template's form."""
    if document.question is None:
        return list(tokenizer(f"<BOS_TOKEN>{document.text}<EOS_TOKEN>", add_special_tokens=False)["input_ids"])
    turns = [
        {"role": "user", "content": document.question},
        {"role": "assistant", "content": document.text},
    ]
    return list(tokenizer.apply_chat_template(turns, tokenize=True, return_dict=False))


def blocks(tokenizer: Any, corpus: Corpus, count: int) -> Any:
    """Return ``count`` rows of `LENGTH` tokens; each starts with the start of a document."""
    import torch

    rows = []
    for _ in range(count):
        row: list[int] = []
        while len(row) < LENGTH:
            row += encode(tokenizer, corpus.draw())
        rows.append(row[:LENGTH])
    return torch.tensor(rows)


def pretrain(out: Path, steps: int, seed: int = 0, asked_every: int = 4, english: float = 0.0, shares: dict[str, float] = SHARES) -> None:
    """Train tokenizer and model from nothing and save both."""
    import torch
    from transformers import CohereConfig, CohereForCausalLM, set_seed

    set_seed(seed)
    torch.set_num_threads(1)
    tokenizer = build_tokenizer()
    config = CohereConfig(
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **SHAPE,
    )
    model = CohereForCausalLM(config)
    print(f"{model.num_parameters():,} weights, {len(tokenizer)} tokens", flush=True)
    decayed = [p for p in model.parameters() if p.dim() > 1]
    plain = [p for p in model.parameters() if p.dim() <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}],
        lr=PEAK, betas=(0.9, 0.98), fused=True,
    )
    corpus = Corpus(seed, shares, asked_every, english)
    start = time.perf_counter()
    for step in range(steps):
        rate = min(1.0, (step + 1) / WARMUP) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / steps)))
        for group in optimizer.param_groups:
            group["lr"] = PEAK * rate
        batch = blocks(tokenizer, corpus, BATCH)
        loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step % 50 == 0 or step == steps - 1:
            print(step, round(loss.item(), 3), round(time.perf_counter() - start), flush=True)
        if step % 500 == 499:
            model.save_pretrained(out)
            tokenizer.save_pretrained(out)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)


if __name__ == "__main__":
    pretrain(Path(sys.argv[1]), int(sys.argv[2]))
