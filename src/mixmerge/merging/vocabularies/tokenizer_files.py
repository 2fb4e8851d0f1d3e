"""Tokenizer files: read, shortened, extended and written as ``tokenizer.json``.

transformers and vLLM load this file of the tokenizers library. It is edited in place, so that
normalisation, splitting and decoding stay as they were.
"""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from typing import Any

from mixmerge.errors import ModelError
from mixmerge.files import read_json, write_json
from mixmerge.merging.models import donor_files

FILE = donor_files.TOKENS
_SETTINGS = ("tokenizer_config.json", "special_tokens_map.json")
_OLDER_FORMS = (*donor_files.OTHER_TOKENS, *donor_files.TOKENS_BESIDE)
"""The same tokens in other formats, which would be wrong for another vocabulary."""
_NEVER = 1e4
"""Log-probability of added unigram pieces below the least likely one: never chosen."""

AddedToken = dict[str, Any]
"""An entry of ``added_tokens``, without its id."""
_FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")


@dataclass(frozen=True)
class StoredTokenizer:
    """The content of a ``tokenizer.json`` and the folder it comes from."""

    folder: Path
    content: dict[str, Any]
    vocabulary: dict[str, int]
    """Ids by token, including added tokens, in the order of ids."""
    added: dict[str, AddedToken]
    """Added tokens by text, in the order of ids: matched before text is split."""
    changed: bool = False
    """Whether the content differs from the folder's file."""


def read_tokenizer(folder: Path) -> StoredTokenizer:
    """Read a folder's tokenizer; older formats are converted by transformers.

    Raises:
        ModelError: there is no tokenizer, or it cannot be converted.
    """
    file = folder / FILE
    donor_files.check_donor_files(folder)
    for name in _SETTINGS:
        if (folder / name).is_file():
            donor_files.read_object(folder / name)  # refuse now rather than after the merge
    if not file.is_file():
        return _parsed(folder, _converted(folder), changed=True)
    try:
        return _parsed(folder, file.read_text(encoding="utf-8"), changed=False)
    except UnicodeDecodeError as error:
        raise ModelError(f"{file}: not UTF-8 text.") from error


def _parsed(folder: Path, text: str, *, changed: bool) -> StoredTokenizer:
    """Parse with the tokenizers library, which also checks the file."""
    from tokenizers import Tokenizer

    try:
        loaded = Tokenizer.from_str(text)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # Rust panics are not Exceptions
        raise ModelError(
            f"{folder / FILE}: not a tokenizer of the tokenizers library ({str(error)[:200]})."
        ) from error
    ids = sorted(loaded.get_vocab(with_added_tokens=True).items(), key=itemgetter(1, 0))
    if not ids:
        raise ModelError(f"{folder / FILE}: has no tokens.")
    twice = next((pair for pair in pairwise(ids) if pair[0][1] == pair[1][1]), None)
    if twice:
        (one, number), (other, _) = twice
        raise ModelError(f"{folder / FILE}: {one!r:.60} and {other!r:.60} have the id {number}.")
    added = {
        token.content: {"content": token.content, **{key: getattr(token, key) for key in _FLAGS}}
        for _, token in sorted(loaded.get_added_tokens_decoder().items())
    }
    return StoredTokenizer(folder, json.loads(text), dict(ids), added, changed)


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence transformers, whose problems are raised as our own one-line errors."""
    from transformers.utils import logging

    level, shown = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()


def _converted(folder: Path) -> str:
    if not donor_files.donated(folder, (*_OLDER_FORMS, *_SETTINGS)):
        raise ModelError(
            f"{folder}: no {FILE}; copy the tokenizer files of the model it was trained from."
        )
    from transformers import AutoTokenizer

    try:
        with quiet_transformers():
            loaded = AutoTokenizer.from_pretrained(
                str(folder), trust_remote_code=False, local_files_only=True
            )
        text: str = loaded.backend_tokenizer.to_str()
    except Exception as error:  # of whatever kind the tokenizer's own code raises
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"{folder}: no {FILE}, and its tokenizer could not be converted ({reason}). Load it "
            "with transformers where it works, and save it with `save_pretrained`."
        ) from error
    return text


def without_rows_beyond(tokenizer: StoredTokenizer, rows: int) -> StoredTokenizer:
    """Remove the tokens that the model has no row for; no text should produce them.

    Raises:
        ModelError: tokens cannot be removed from this kind of tokenizer.
    """
    unused = {token for token, number in tokenizer.vocabulary.items() if number >= rows}
    if not unused:
        return tokenizer
    kept = {token: at for token, at in tokenizer.vocabulary.items() if at < rows}
    model = dict(tokenizer.content["model"])
    plain = [token for token in _plain_tokens(model) if token in unused]
    if plain and model.get("type") != "BPE":
        raise ModelError(
            f"{tokenizer.folder / FILE}: token {plain[0]!r} has no row in the embedding "
            f"({rows} rows), and cannot be taken out of a {model.get('type')} tokenizer."
        )
    if plain:
        model["vocab"] = {token: at for token, at in model["vocab"].items() if token not in unused}
        model["merges"] = [
            merge for merge in model["merges"] if unused.isdisjoint(_produced(merge))
        ]
    return _edited(tokenizer, model, tokenizer.added, kept)


def _edited(
    tokenizer: StoredTokenizer,
    model: dict[str, Any],
    added: Mapping[str, AddedToken],
    ids: Mapping[str, int],
) -> StoredTokenizer:
    """Return a tokenizer with another model and other added tokens, parsed again.

    Added tokens without an id are dropped; all others must have the given ids.
    """
    entries = [{"id": ids[token], **entry} for token, entry in added.items() if token in ids]
    content = {**tokenizer.content, "added_tokens": entries, "model": model}
    edited = _parsed(tokenizer.folder, json.dumps(content), changed=True)
    seen = edited.vocabulary
    if seen == ids:
        return edited
    token = next(token for token in [*ids, *seen] if ids.get(token) != seen.get(token))
    raise ModelError(
        f"{tokenizer.folder / FILE}: token {token!r} would get the id {seen.get(token)} instead of "
        f"{ids.get(token)}; tokens can neither be added to this tokenizer nor taken from it."
    )


def _plain_tokens(model: Mapping[str, Any]) -> list[str]:
    vocab = model["vocab"]
    return [entry[0] for entry in vocab] if isinstance(vocab, list) else list(vocab)


def _produced(merge: Any) -> tuple[str, ...]:
    """Return the three tokens of a merge: left, right, and both joined."""
    left, right = merge.split(" ", 1) if isinstance(merge, str) else merge
    return left, right, left + right


def extended(
    tokenizer: StoredTokenizer, plain: Sequence[str], added: Sequence[AddedToken]
) -> StoredTokenizer:
    """Return a tokenizer with more tokens, in the given order, after the highest id.

    Plain tokens are added to the model without merges that form them, so text is split as before,
    but their ids can be decoded. Added tokens are matched anywhere in text.

    Raises:
        ModelError: the tokenizers library reads the result differently.
    """
    if not plain and not added:
        return tokenizer
    first = 1 + max(tokenizer.vocabulary.values(), default=-1)
    new = {entry["content"]: entry for entry in added}
    ids = dict(tokenizer.vocabulary)
    ids |= {token: first + at for at, token in enumerate([*plain, *new])}
    model = tokenizer.content["model"]
    if plain:
        # The library numbers added tokens after the model's own, so to keep their ids all tokens
        # must become the model's own.
        model = {**model, "vocab": _grown_vocab(tokenizer, ids)}
    return _edited(tokenizer, model, {**tokenizer.added, **new}, ids)


def _grown_vocab(tokenizer: StoredTokenizer, ids: dict[str, int]) -> Any:
    """Return the model's own tokens followed by all others: a table, or a list with scores."""
    vocab = tokenizer.content["model"]["vocab"]
    if isinstance(vocab, dict):
        return {**vocab, **{token: at for token, at in ids.items() if token not in vocab}}
    known = set(_plain_tokens(tokenizer.content["model"]))
    new = sorted((at, token) for token, at in ids.items() if token not in known)
    if [at for at, _ in new] != list(range(len(vocab), len(vocab) + len(new))):
        raise ModelError(
            f"{tokenizer.folder / FILE}: its ids have a gap, so tokens cannot be added after it."
        )
    score = min(score for _, score in vocab) - _NEVER
    return [*vocab, *([token, score] for _, token in new)]


def write_tokenizer(tokenizer: StoredTokenizer, folder: Path) -> None:
    """Write a tokenizer with its settings and chat template, replacing those in the folder."""
    always = (FILE, *_SETTINGS, *donor_files.TEMPLATES)
    for file in donor_files.donated(folder, (*always, *_OLDER_FORMS)).values():
        file.unlink()
    taken = always if tokenizer.changed else (*always, *_OLDER_FORMS)
    for name, file in donor_files.donated(tokenizer.folder, taken).items():
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(file, folder / name)
    if tokenizer.changed:
        write_json(folder / FILE, tokenizer.content)
        for name in _SETTINGS:
            if (folder / name).is_file():
                write_json(folder / name, _true_settings(read_json(folder / name), tokenizer))


def _true_settings(settings: Any, tokenizer: StoredTokenizer) -> Any:
    """Return settings without removed special tokens, and with all added tokens."""
    if not isinstance(settings, dict):
        return settings
    result: dict[str, Any] = {}
    for key, value in settings.items():
        if key == "added_tokens_decoder":
            ids = tokenizer.vocabulary
            result[key] = {str(ids[token]): entry for token, entry in tokenizer.added.items()}
        elif key.endswith("_token") and _is_gone(value, tokenizer):
            continue
        elif key.endswith("_special_tokens") and isinstance(value, list):
            result[key] = [token for token in value if not _is_gone(token, tokenizer)]
        else:
            result[key] = value
    return result


def _is_gone(value: Any, tokenizer: StoredTokenizer) -> bool:
    text = value.get("content") if isinstance(value, dict) else value
    return isinstance(text, str) and text not in tokenizer.vocabulary
