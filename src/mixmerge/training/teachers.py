"""The models that a student is distilled from."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mixmerge.chat.tokenizer import language_config, load_tokenizer
from mixmerge.errors import DataError, ModelError
from mixmerge.records import ModelFolder
from mixmerge.spec_model import quoted


def check_teachers(student: ModelFolder, teachers: Mapping[str, ModelFolder]) -> None:
    """Check that all teachers have the student's vocabulary.

    The loss compares whole distributions of the next token, so a token must be the same everywhere.

    Raises:
        ModelError: a teacher has another vocabulary.
    """
    size = language_config(student.config).get("vocab_size")
    words = load_tokenizer(student.path).get_vocab()
    for source, teacher in teachers.items():
        seen = language_config(teacher.config).get("vocab_size")
        if seen != size:
            what = f"has logits for {seen} tokens, and the student {student.path} for {size}"
        elif load_tokenizer(teacher.path).get_vocab() != words:
            what = f"has other tokens than the student {student.path}"
        else:
            continue
        raise ModelError(
            f"{teacher.path}: the teacher of `{source}` {what}. Distillation compares the "
            "probabilities of all tokens: use a teacher that was trained from the same base model."
        )


def check_sources(sources: Iterable[str], teachers: Mapping[str, ModelFolder]) -> None:
    """Check that each source of the rows has a teacher.

    Raises:
        DataError: one has none.
    """
    without = sorted({*sources} - {*teachers})
    if without:
        raise DataError(
            f"The rows of {quoted(without)} have no teacher; known are {quoted(teachers)}. Name "
            "a teacher for each source in `teachers`."
        )


@contextmanager
def on_device(model: Any, device: Any, home: Any) -> Iterator[None]:
    """Have a model on a device, and then at its ``home``; nothing moves where both are the same."""
    model.to(device)
    yield
    model.to(home)


def load_teachers(
    teachers: Mapping[str, ModelFolder], device: Any, *, bfloat16: bool
) -> dict[str, Any]:
    """Return the teachers' models by source, without gradients; each folder is loaded once."""
    import torch
    from transformers import AutoModelForCausalLM

    loaded: dict[Any, Any] = {}
    for folder in teachers.values():
        place = folder.path.resolve()
        if place not in loaded:
            model = AutoModelForCausalLM.from_pretrained(
                folder.path,
                dtype=torch.bfloat16 if bfloat16 else torch.float32,
                trust_remote_code=False,
            )
            loaded[place] = model.requires_grad_(requires_grad=False).eval().to(device)
    return {source: loaded[folder.path.resolve()] for source, folder in teachers.items()}
