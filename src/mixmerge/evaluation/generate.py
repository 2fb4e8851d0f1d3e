"""Generate a model's answers, resumable prompt by prompt, with any backend."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from mixmerge.errors import DataError
from mixmerge.evaluation.backends.make import Backend
from mixmerge.evaluation.journal import Journal
from mixmerge.evaluation.spec import DecodingSpec
from mixmerge.files import write_rows
from mixmerge.fingerprint import fingerprint
from mixmerge.progress import Progress, silent
from mixmerge.records import Prompt, Response

_JOURNAL = ".journal"
"""Suffix of a journal's name after that of the answers."""


def generate(
    model: Backend,
    prompts: Sequence[Prompt],
    decoding: DecodingSpec,
    out: Path,
    *,
    keep_journal: bool = False,
    progress: Progress = silent,
) -> list[Response]:
    """Let a model answer prompts, and write the answers as JSON Lines.

    Finished answers are in a journal beside ``out`` until all are finished: after an interruption
    the same call makes only those that are missing, also if prompts were added. With
    ``keep_journal`` it stays, for work of several calls that may be interrupted in a later one; see
    `remove_journals`.

    Raises:
        DataError: two prompts have the same id, or one is longer than the model's context.
        ModelError: the model is incomplete, or tokenizer and weights do not fit together.
        ResourceError: an endpoint fails, or a library is not installed.
    """
    repeated = [name for name, n in Counter(prompt.id for prompt in prompts).items() if n > 1]
    if repeated:
        raise DataError(f"Two prompts have the id {repeated[0]!r}; ids must be unique in a set.")
    base = [model.stamp, decoding.model_dump()]
    keys = {p.id: fingerprint([base, [m.model_dump() for m in p.messages]]) for p in prompts}
    journal_path = out.with_name(out.name + _JOURNAL)
    with Journal(journal_path) as journal:
        missing = {name for name, key in keys.items() if key not in journal}
        if missing:
            for made in model.answers(prompts, decoding, frozenset(missing), progress):
                for response in made:
                    if response.prompt in missing:
                        journal.append(keys[response.prompt], response.model_dump())
                        missing.remove(response.prompt)
                progress(len(prompts) - len(missing), len(prompts), "answers")
        if missing:
            raise RuntimeError(f"{len(missing)} prompts got no answer, e.g. {min(missing)}")
        responses = [
            Response.model_validate({**journal[keys[prompt.id]], "prompt": prompt.id})
            for prompt in prompts
        ]
        write_rows(out, responses)
    if not keep_journal:
        journal_path.unlink()
    return responses


def remove_journals(folder: Path) -> None:
    """Remove the journals of finished work from a folder."""
    for journal in folder.glob(f"*{_JOURNAL}"):
        journal.unlink()
