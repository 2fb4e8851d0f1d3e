"""Keep only the tokens in use, so that a multilingual model trains fast on a small machine.

    python examples/trim_vocabulary.py models/gemma models/gemma-small --testbed
    python examples/trim_vocabulary.py --restore models/gemma runs/.../model models/gemma-trained

Of Gemma 3 270M, 168 of 268 million weights are rows for 262,144 tokens. A study in six languages
uses a few thousand of them. The result is an ordinary Hugging Face folder: the texts get the same
tokens as before, and the model's logits for the kept tokens are those of the whole model. Other
text is spelled in bytes. ``--restore`` puts the rows, trained or not, back into the whole model.

For tokenizers of the BPE kind with byte fallback: Gemma, Llama 2, Mistral.
"""

import argparse
import json
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

WEIGHTS = "model.safetensors"
TURNS = ("<start_of_turn>", "<end_of_turn>")

# Gemma's own form of a chat, with the assistant's words marked for training.
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}<start_of_turn>model\n"
    "{% generation %}{{ message['content'] | trim }}<end_of_turn>{% endgeneration %}\n"
    "{% else %}<start_of_turn>{{ message['role'] }}\n"
    "{{ message['content'] | trim }}<end_of_turn>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)


def kept_ids(tokenizer: dict[str, Any], texts: Iterable[str]) -> list[int]:
    """Return the ids to keep, in order: specials, bytes, and what the texts use.

    A token is made of two shorter ones by a merge; all tokens on the way to one in use are kept,
    so that every merge the texts need is still there.
    """
    vocabulary: dict[str, int] = tokenizer["model"]["vocab"]
    made_of: dict[str, list[tuple[str, str]]] = {}
    for left, right in tokenizer["model"]["merges"]:
        made_of.setdefault(left + right, []).append((left, right))
    whole = Tokenizer.from_str(json.dumps(tokenizer))
    tokens = {token for text in texts for token in whole.encode(text).tokens}
    tokens |= {f"<0x{byte:02X}>" for byte in range(256)} | {"\n", *TURNS}
    tokens |= {a["content"] for a in tokenizer["added_tokens"] if a["id"] < 8}
    open_tokens = list(tokens)
    while open_tokens:
        for pair in made_of.get(open_tokens.pop(), []):
            open_tokens += [part for part in pair if part not in tokens]
            tokens.update(pair)
    return sorted(vocabulary[token] for token in tokens if token in vocabulary)


def trimmed_tokenizer(tokenizer: dict[str, Any], kept: list[int]) -> dict[str, Any]:
    """Return a tokenizer with these tokens only, numbered from 0 in the old order."""
    new = {old: number for number, old in enumerate(kept)}
    model = tokenizer["model"]
    vocabulary = {token: new[old] for token, old in model["vocab"].items() if old in new}
    merges = [
        [left, right]
        for left, right in model["merges"]
        if left in vocabulary and right in vocabulary and left + right in vocabulary
    ]
    added = [a | {"id": new[a["id"]]} for a in tokenizer["added_tokens"] if a["id"] in new]
    result = json.loads(json.dumps(tokenizer))
    result["model"] |= {"vocab": vocabulary, "merges": merges}
    result["added_tokens"] = added
    for special in (result.get("post_processor") or {}).get("special_tokens", {}).values():
        special["ids"] = [new[old] for old in special["ids"]]
    return result  # type: ignore[no-any-return]


def trim(folder: Path, out: Path, texts: Iterable[str]) -> int:
    """Write a model with the tokens of some texts; return how many tokens it has.

    Args:
        folder: the whole model, its embedding tied to its head, in one safetensors file.
        out: the folder to write.
        texts: everything the model will be trained on or asked.
    """
    tokenizer = _read(folder / "tokenizer.json")
    kept = kept_ids(tokenizer, texts)
    weights = load_file(folder / WEIGHTS)
    embedding = _embedding(weights)
    weights[embedding] = weights[embedding][torch.tensor(kept)].contiguous()
    out.mkdir(parents=True)
    save_file(weights, out / WEIGHTS, metadata={"format": "pt"})
    _write(out / "tokenizer.json", trimmed_tokenizer(tokenizer, kept))
    shutil.copyfile(folder / "tokenizer_config.json", out / "tokenizer_config.json")
    (out / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
    config = _read(folder / "config.json")
    generation = {"eos_token_id": [config["eos_token_id"], _id(tokenizer, TURNS[1])]}
    ids = {key: config[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
    new = {old: number for number, old in enumerate(kept)}
    _write(out / "config.json", config | {"vocab_size": len(kept)} | _renumbered(ids, new))
    _write(out / "generation_config.json", _renumbered(ids | generation, new))
    return len(kept)


def restore(whole: Path, trained: Path, out: Path) -> None:
    """Write the whole model with the weights of a model trained from a trimmed one.

    Args:
        whole: the model that was trimmed.
        trained: the model with few tokens.
        out: the folder to write; rows of tokens that were left out are those of ``whole``.
    """
    new, old = (_read(folder / "tokenizer.json")["model"]["vocab"] for folder in (trained, whole))
    kept = torch.tensor([old[token] for token in sorted(new, key=new.__getitem__)])
    weights, before = load_file(trained / WEIGHTS), load_file(whole / WEIGHTS)
    embedding = _embedding(before)
    rows = before[embedding]
    rows[kept] = weights[embedding].to(rows.dtype)
    shutil.copytree(whole, out)
    save_file(weights | {embedding: rows}, out / WEIGHTS, metadata={"format": "pt"})


def _embedding(weights: dict[str, torch.Tensor]) -> str:
    (name,) = (name for name in weights if name.endswith("embed_tokens.weight"))
    return name


def _id(tokenizer: dict[str, Any], token: str) -> int:
    return int(tokenizer["model"]["vocab"][token])


def _renumbered(ids: dict[str, Any], new: dict[int, int]) -> dict[str, Any]:
    return {
        key: [new[i] for i in old] if isinstance(old, list) else new[old]
        for key, old in ids.items()
    }


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def testbed_texts() -> Iterator[str]:
    """Yield everything that the testbed says, asks and accepts, and the words of a chat."""
    from mixmerge.testbed.data import preference_pairs, prompts

    yield "user\nmodel\nassistant system"
    for source in ("cliff/general", "cliff/safety"):
        for pair in preference_pairs(source):  # type: ignore[arg-type]
            yield pair.prompt_text
            yield pair.chosen
            yield pair.rejected
    for axis in ("cliff/general", "cliff/safety", "cliff/over_refusal"):
        for split in ("dev", "test"):
            for prompt in prompts(axis, split):  # type: ignore[arg-type]
                yield prompt.text
                yield from prompt.accepted


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+", help="MODEL OUT, or WHOLE TRAINED OUT")
    parser.add_argument("--restore", action="store_true", help="put rows back into the whole model")
    parser.add_argument("--testbed", action="store_true", help="keep the testbed's tokens")
    parser.add_argument("--texts", type=Path, nargs="*", default=[], help="files of text to keep")
    asked = parser.parse_args()
    if asked.restore:
        restore(*asked.folders)
        return
    texts = [file.read_text(encoding="utf-8") for file in asked.texts]
    texts += testbed_texts() if asked.testbed else []
    print(f"{trim(*asked.folders, texts):,} tokens kept")


if __name__ == "__main__":
    main()
