"""Tokenizers as they are stored: read, shortened, extended and written as ``tokenizer.json``.

What transformers and vLLM load is the file of the tokenizers library; it is edited as it is, so
that normalisation, splitting and decoding stay those of the model it comes from.
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
from mixmerge.merging.models.donor_files import (
    OTHER_TOKENS,
    TEMPLATES,
    TOKENS,
    TOKENS_BESIDE,
    check_donor_files,
    donated,
    read_object,
)

FILE = TOKENS
_SETTINGS = ("tokenizer_config.json", "special_tokens_map.json")
_OLDER_FORMS = (*OTHER_TOKENS, *TOKENS_BESIDE)
"""The same tokens in other forms, which would no longer be true of another vocabulary."""
_NEVER = 1e4
"""How much less likely an added piece of a unigram model is than its least likely one."""

AddedToken = dict[str, Any]
"""An entry of ``added_tokens``, without its id."""
_FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")


@dataclass(frozen=True)
class StoredTokenizer:
    """The content of a ``tokenizer.json`` and where it comes from."""

    folder: Path
    content: dict[str, Any]
    vocabulary: dict[str, int]
    """Ids by token, added tokens among them, in the order of the ids."""
    added: dict[str, AddedToken]
    """The added tokens by their text, in the order of their ids: found before text is split."""
    changed: bool = False
    """Whether the content is no longer that of the folder."""


def read_tokenizer(folder: Path) -> StoredTokenizer:
    """Read a folder's tokenizer; one in an older form is converted by transformers.

    Raises:
        ModelError: there is no tokenizer, or it cannot be converted.
    """
    file = folder / FILE
    check_donor_files(folder)
    for name in _SETTINGS:
        if (folder / name).is_file():
            read_object(folder / name)  # what cannot be read is said now, not after the merge
    if not file.is_file():
        return _parsed(folder, _converted(folder), changed=True)
    try:
        return _parsed(folder, file.read_text(encoding="utf-8"), changed=False)
    except UnicodeDecodeError as error:
        raise ModelError(f"{file}: not UTF-8 text.") from error


def _parsed(folder: Path, text: str, *, changed: bool) -> StoredTokenizer:
    """Read the content of a file as the tokenizers library does, which also checks it."""
    from tokenizers import Tokenizer

    try:
        loaded = Tokenizer.from_str(text)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # the library's panics are no ordinary exceptions
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
    """Silence transformers: what it would report is raised as an error of ours, on one line."""
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
    if not donated(folder, (*_OLDER_FORMS, *_SETTINGS)):
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
    """Leave out the tokens that the model has no row for; no text can be meant to yield them.

    Raises:
        ModelError: the tokens cannot be left out of a tokenizer of this kind.
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
    """Put another model and other added tokens into a copy of a tokenizer, and read it back.

    Added tokens without an id are left out; that all others have theirs is checked.
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
    """Return the three tokens of a merge: left, right, and both in one."""
    left, right = merge.split(" ", 1) if isinstance(merge, str) else merge
    return left, right, left + right


def extended(
    tokenizer: StoredTokenizer, plain: Sequence[str], added: Sequence[AddedToken]
) -> StoredTokenizer:
    """Return a tokenizer with more tokens, in the given order, behind the highest id.

    Plain tokens become known to the model without a way to be formed from others, so that text is
    split as before; their ids can be decoded. Added tokens are found in text wherever they stand.

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
        # The library counts added tokens from the end of the model's own, so those before and
        # behind the new ones must be the model's as well to keep their ids.
        model = {**model, "vocab": _grown_vocab(tokenizer, ids)}
    return _edited(tokenizer, model, {**tokenizer.added, **new}, ids)


def _grown_vocab(tokenizer: StoredTokenizer, ids: dict[str, int]) -> Any:
    """Return the model's own tokens and after them all others: a table, or a list with scores."""
    vocab = tokenizer.content["model"]["vocab"]
    if isinstance(vocab, dict):
        return {**vocab, **{token: at for token, at in ids.items() if token not in vocab}}
    known = set(_plain_tokens(tokenizer.content["model"]))
    new = sorted((at, token) for token, at in ids.items() if token not in known)
    if [at for at, _ in new] != list(range(len(vocab), len(vocab) + len(new))):
        raise ModelError(
            f"{tokenizer.folder / FILE}: its ids have a gap, so tokens cannot be added behind it."
        )
    score = min(score for _, score in vocab) - _NEVER
    return [*vocab, *([token, score] for _, token in new)]


def write_tokenizer(tokenizer: StoredTokenizer, folder: Path) -> None:
    """Write a tokenizer with its settings and chat template; older ones in the folder go."""
    always = (FILE, *_SETTINGS, *TEMPLATES)
    for file in donated(folder, (*always, *_OLDER_FORMS)).values():
        file.unlink()
    taken = always if tokenizer.changed else (*always, *_OLDER_FORMS)
    for name, file in donated(tokenizer.folder, taken).items():
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(file, folder / name)
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
