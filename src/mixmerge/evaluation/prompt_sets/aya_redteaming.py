"""Aya Red-teaming: harmful requests that people wrote in eight languages.

Aakanksha et al., The Multilingual Alignment Prism (2024), arXiv 2406.18682. One JSON Lines file per
language; all columns are strings, the harm categories a string with a JSON list. There are no ids,
and languages are not parallel, so each request is its own cluster.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pydantic import Json, TypeAdapter, ValidationError

from mixmerge.errors import DataError
from mixmerge.evaluation.prompt_sets.cells import Cells, cell, explained, own_codes, text
from mixmerge.evaluation.prompt_spec import PromptSetSpec
from mixmerge.fingerprint import fingerprint
from mixmerge.records import Message, Prompt
from mixmerge.spec_model import shown
from mixmerge.tables import read_file

HUB = "CohereLabs/aya_redteaming"
_CODES = "ar:arb en:eng fr:fra hi:hin ru:rus es:spa sr:srp tl:tgl"
CODES = dict(pair.split(":") for pair in _CODES.split())
_TEXTS: TypeAdapter[list[str]] = TypeAdapter(Json[list[str]])


def read(spec: PromptSetSpec, languages: Sequence[str]) -> list[Prompt]:
    """Read the requests of some languages.

    Duplicates of a request in one language share a cluster and have numbered ids.

    Raises:
        DataError: a file cannot be read or downloaded, or a row is not in the published format.
    """
    prompts: list[Prompt] = []
    seen: Counter[str] = Counter()
    for language, code in own_codes(spec, languages, CODES).items():
        for place, cells in read_file(_file(spec, f"aya_{code}.jsonl")):
            with explained(place):
                prompt = _prompt(cells, language)
            seen[prompt.id] += 1
            if seen[prompt.id] > 1:
                prompt = prompt.model_copy(update={"id": f"{prompt.id}-{seen[prompt.id]}"})
            prompts.append(prompt)
    return prompts


def _file(spec: PromptSetSpec, name: str) -> Path:
    where = spec.hub or HUB
    if Path(where).is_dir():
        return Path(where) / name
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(where, name, repo_type="dataset", revision=spec.revision))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise DataError(
            f"{where}: the file {name} could not be downloaded: {error}. Check the network and "
            "your access token, or download the set and give its folder as `hub`."
        ) from error


def _prompt(cells: Cells, language: str) -> Prompt:
    messages = (Message(role="user", content=text(cells, "prompt")),)
    digest = fingerprint([language, messages[0].content])[:16]
    return Prompt.model_validate(
        {
            "id": digest,
            "cluster": digest,
            "language": language,
            "category": "; ".join(_categories(cells)),
            "messages": messages,
            "scope": text(cells, "global_or_local").strip().lower(),
        }
    )


def _categories(cells: Cells) -> list[str]:
    said = cell(cells, "harm_category")
    try:
        return _TEXTS.validate_python(said)
    except ValidationError:
        raise ValueError(
            "the column `harm_category` must be a string with a JSON list of strings "
            f"(seen: {shown(said)})."
        ) from None
