"""Whether transformers finds in a merged model every tensor that it will look for, and no other.

The architecture is made on PyTorch's meta device, which holds shapes and no numbers, and loads the
planned tensors as it would load the files: with its own rules for tied heads, packed experts and
renamed parts. This imports torch and transformers, so it runs on request only.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from mixmerge.errors import ModelError
from mixmerge.files import write_json

if TYPE_CHECKING:
    from mixmerge.merging.planning.plan import MergePlan

_TORCH = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}


def check_architecture(plan: "MergePlan") -> bool:
    """Check that names and shapes of the output are those that its configuration asks for.

    Returns:
        Whether that could be checked: False where transformers does not know the architecture.

    Raises:
        ModelError: a tensor is missing, of no use, or of another shape.
    """
    import torch
    import transformers

    kind = getattr(transformers, (plan.config.get("architectures") or [""])[0], None)
    if kind is None:
        return False
    with TemporaryDirectory() as folder:
        write_json(Path(folder) / "config.json", plan.config)
        try:
            config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
        except ValueError:
            return False
    tensors = {
        row.output.name: torch.empty(
            row.output.shape,
            dtype=getattr(torch, _TORCH.get(row.output.dtype, "int64")),
            device="meta",
        )
        for row in plan.rows
    }
    with _quiet():
        _, found = kind.from_pretrained(
            None,
            config=config,
            state_dict=tensors,
            device_map="meta",
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    problems = list(_problems(kind.__name__, found))
    if problems:
        more = f" ({len(problems) - 1} more)" if problems[1:] else ""
        raise ModelError(f"The merged model would be incomplete: {problems[0]}{more}.")
    return True


def _problems(kind: str, found: dict[str, Any]) -> Iterator[str]:
    for name in sorted(found["missing_keys"]):
        yield f"{kind} needs tensor {name}, which no input has"
    for name in sorted(found["unexpected_keys"]):
        yield f"{kind} has no use for tensor {name}"
    for name, stored, wanted in sorted(found["mismatched_keys"]):
        yield f"tensor {name} has shape {list(stored)}, and {kind} needs {list(wanted)}"


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence transformers: what it would report is raised as an error of ours."""
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
