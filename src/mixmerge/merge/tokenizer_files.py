"""Tokenizers as they are stored: read, shortened, extended and written as ``tokenizer.json``.

What transformers and vLLM load is the file of the tokenizers library; it is edited as it is, so
that normalisation, splitting and decoding stay those of the model it comes from.
"""

import copy
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixmerge.errors import ModelError, SpecError
from mixmerge.files import read_json, write_json

FILE = "tokenizer.json"
_SETTINGS = ("tokenizer_config.json", "special_tokens_map.json")
_TEMPLATES = ("chat_template.jinja", "chat_template.json")
_OLDER_FORMS = ("tokenizer.model", "vocab.json", "merges.txt", "vocab.txt", "added_tokens.json")
"""The same tokens in other forms, which would no longer be true of another vocabulary."""
_NEVER = 1e4
"""How much less likely an added piece of a unigram model is than its least likely one."""

AddedToken = dict[str, Any]


@dataclass(frozen=True)
class StoredTokenizer:
    """The content of a ``tokenizer.json`` and where it comes from."""

    folder: Path
    content: dict[str, Any]
    vocabulary: dict[str, int]
    """Ids by token, added tokens among them, in the order of the ids."""
    added: dict[str, AddedToken]
    """The entries of added tokens by their text: found before anything else is split."""
    changed: bool = False
    """Whether the content is no longer that of the folder."""


def read_tokenizer(folder: Path) -> StoredTokenizer:
    """Read a folder's tokenizer; one in an older form is converted by transformers.

    Raises:
        ModelError: there is no tokenizer, or it cannot be converted.
    """
    file = folder / FILE
    if not file.is_file():
        return _parsed(folder, _converted(folder), changed=True)
    try:
        return _parsed(folder, read_json(file), changed=False)
    except SpecError as error:
        raise ModelError(str(error)) from error


def _parsed(folder: Path, content: Any, *, changed: bool) -> StoredTokenizer:
    try:
        model = content["model"]["vocab"]
        plain = (
            {entry[0]: number for number, entry in enumerate(model)}
            if isinstance(model, list)
            else dict(model)
        )
        added = {entry["content"]: entry for entry in content.get("added_tokens") or []}
        ids = {**plain, **{token: entry["id"] for token, entry in added.items()}}
        ordered = dict(sorted(ids.items(), key=lambda item: item[1]))
        valid = all(isinstance(number, int) and number >= 0 for number in ids.values())
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{folder / FILE}: not a tokenizer of the tokenizers library.") from error
    if not valid or len(set(ordered.values())) != len(ordered):
        raise ModelError(f"{folder / FILE}: ids must be whole numbers, and each token's its own.")
    return StoredTokenizer(folder, content, ordered, added, changed)


def _converted(folder: Path) -> dict[str, Any]:
    if not any((folder / name).is_file() for name in (*_OLDER_FORMS, *_SETTINGS)):
        raise ModelError(
            f"{folder}: no {FILE}; copy the tokenizer files of the model it was trained from."
        )
    from transformers import AutoTokenizer

    try:
        loaded = AutoTokenizer.from_pretrained(
            str(folder), trust_remote_code=False, local_files_only=True
        )
        content: dict[str, Any] = json.loads(loaded.backend_tokenizer.to_str())
    except (OSError, ValueError, ImportError, AttributeError, KeyError, TypeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"{folder}: no {FILE}, and its tokenizer could not be converted ({reason}). Load it "
            "with transformers where it works, and save it with `save_pretrained`."
        ) from error
    return content


def without_rows_beyond(tokenizer: StoredTokenizer, rows: int) -> StoredTokenizer:
    """Leave out the tokens that the model has no row for; no text can be meant to yield them.

    Raises:
        ModelError: the tokens cannot be left out of a tokenizer of this kind.
    """
    unused = {token for token, number in tokenizer.vocabulary.items() if number >= rows}
    if not unused:
        return tokenizer
    content = copy.deepcopy(tokenizer.content)
    content["added_tokens"] = [
        entry for entry in content.get("added_tokens") or [] if entry["content"] not in unused
    ]
    model = content["model"]
    plain = [token for token in _plain_tokens(model) if token in unused]
    if plain and model.get("type") != "BPE":
        raise ModelError(
            f"{tokenizer.folder / FILE}: token {plain[0]!r} has no row in the embedding "
            f"({rows} rows), and cannot be taken out of a {model.get('type')} tokenizer."
        )
    for token in plain:
        del model["vocab"][token]
    if plain:
        model["merges"] = [
            merge for merge in model["merges"] if unused.isdisjoint(_produced(merge))
        ]
    return _parsed(tokenizer.folder, content, changed=True)


def _plain_tokens(model: Mapping[str, Any]) -> list[str]:
    vocab = model["vocab"]
    return [entry[0] for entry in vocab] if isinstance(vocab, list) else list(vocab)


def _produced(merge: Any) -> tuple[str, ...]:
    """Return the three tokens of a merge: left, right, and both in one."""
    left, right = merge.split(" ", 1) if isinstance(merge, str) else merge
    return left, right, left + right


def extended(
    tokenizer: StoredTokenizer, plain: Sequence[str], added: Sequence[AddedToken]
) -> StoredTokenizer:
    """Append tokens, in the given order, behind the highest id.

    Plain tokens become known to the model without a way to be formed from others, so that text is
    split as before; their ids can be decoded. Added tokens are found in text wherever they stand.

    Args:
        tokenizer: what is extended; it is left as it is.
        plain: texts of plain tokens.
        added: entries of added tokens; their ids are given anew.

    Raises:
        ModelError: the tokenizers library reads the result differently.
    """
    if not plain and not added:
        return tokenizer
    content = copy.deepcopy(tokenizer.content)
    first = 1 + max(tokenizer.vocabulary.values(), default=-1)
    ids = {token: first + place for place, token in enumerate(plain)}
    entries = [{**entry, "id": first + len(plain) + place} for place, entry in enumerate(added)]
    content["added_tokens"] = [*(content.get("added_tokens") or []), *entries]
    if plain:
        # The library counts added tokens from the end of the model's own, so those before and
        # behind the new ones must be the model's as well to keep their ids.
        ids |= {entry["content"]: entry["id"] for entry in content["added_tokens"]}
        _extend_model(content["model"], ids, tokenizer)
    grown = _parsed(tokenizer.folder, content, changed=True)
    _check(grown)
    return grown


def _extend_model(model: dict[str, Any], ids: dict[str, int], tokenizer: StoredTokenizer) -> None:
    new = sorted((number, token) for token, number in ids.items())
    known = set(_plain_tokens(model))
    if isinstance(model["vocab"], dict):
        model["vocab"] |= {token: number for number, token in new if token not in known}
        return
    score = min((entry[1] for entry in model["vocab"]), default=0.0) - _NEVER
    for number, token in new:
        if token in known:
            continue
        if number != len(model["vocab"]):
            raise ModelError(
                f"{tokenizer.folder / FILE}: its ids have a gap at {len(model['vocab'])}, so "
                "tokens cannot be added behind it."
            )
        model["vocab"].append([token, score])


def _check(tokenizer: StoredTokenizer) -> None:
    """Check that the tokenizers library gives every token the id that it is meant to have."""
    from tokenizers import Tokenizer

    try:
        seen = Tokenizer.from_str(json.dumps(tokenizer.content)).get_vocab(with_added_tokens=True)
    except Exception as error:  # the library raises nothing more special
        raise ModelError(f"{tokenizer.folder / FILE}: cannot be extended ({error}).") from error
    if seen != tokenizer.vocabulary:
        wrong = next(token for token in [*tokenizer.vocabulary, *seen]
                     if seen.get(token) != tokenizer.vocabulary.get(token))  # fmt: skip
        raise ModelError(
            f"{tokenizer.folder / FILE}: token {wrong!r} would get the id {seen.get(wrong)} "
            f"instead of {tokenizer.vocabulary.get(wrong)}; this tokenizer cannot be extended."
        )


def write_tokenizer(tokenizer: StoredTokenizer, folder: Path) -> None:
    """Write a tokenizer with its settings and chat template; older ones in the folder go.

    Args:
        tokenizer: what is written.
        folder: an existing folder.
    """
    others = () if tokenizer.changed else _OLDER_FORMS
    for name in (FILE, *_SETTINGS, *_TEMPLATES, *_OLDER_FORMS):
        (folder / name).unlink(missing_ok=True)
    for name in (FILE, *_SETTINGS, *_TEMPLATES, *others):
        if (tokenizer.folder / name).is_file():
            shutil.copyfile(tokenizer.folder / name, folder / name)
    if tokenizer.changed:
        write_json(folder / FILE, tokenizer.content)
        for name in _SETTINGS:
            if (folder / name).is_file():
                write_json(folder / name, _true_settings(read_json(folder / name), tokenizer))


def _true_settings(settings: Any, tokenizer: StoredTokenizer) -> Any:
    """Return settings without the special tokens that are gone, and with all added tokens."""
    if not isinstance(settings, dict):
        return settings
    result: dict[str, Any] = {}
    for key, value in settings.items():
        if key == "added_tokens_decoder":
            result[key] = {str(entry["id"]): _without_id(entry) for entry in _by_id(tokenizer)}
        elif key.endswith("_token") and _is_gone(value, tokenizer):
            continue
        elif key.endswith("_special_tokens") and isinstance(value, list):
            result[key] = [token for token in value if not _is_gone(token, tokenizer)]
        else:
            result[key] = value
    return result


def _by_id(tokenizer: StoredTokenizer) -> list[AddedToken]:
    return sorted(tokenizer.added.values(), key=lambda entry: int(entry["id"]))


def _without_id(entry: AddedToken) -> AddedToken:
    return {key: value for key, value in entry.items() if key != "id"}


def _is_gone(value: Any, tokenizer: StoredTokenizer) -> bool:
    text = value.get("content") if isinstance(value, dict) else value
    return isinstance(text, str) and text not in tokenizer.vocabulary
