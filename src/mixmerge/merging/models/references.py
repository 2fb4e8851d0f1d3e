"""References to models: folders, hub names, and adapters on top of models.

- A **folder** is used as it is; nothing that exists on this machine is looked up on the hub.
- ``org/name`` or ``org/name@revision`` is a model on the hub. Its configuration, tokenizer and
  safetensors files are downloaded into the usual cache, never code.
- ``MODEL+ADAPTER`` is a model with a LoRA adapter; each part is a folder or a hub name.
- An adapter alone stands for itself on the model that its configuration names.
"""

from functools import partial
from pathlib import Path

from mixmerge.errors import ModelError, SpecError
from mixmerge.hub import is_hub_name, local_folder, resolve
from mixmerge.merging.models.adapter import AdaptedCheckpoint
from mixmerge.merging.models.adapter_files import CONFIG
from mixmerge.merging.models.checkpoint import Checkpoint
from mixmerge.merging.models.donor_files import read_object

locate = partial(resolve, needs_owner=True)
"""Return the folder of a model or adapter; only ``org/name`` is taken for a name on the hub."""


def parse(text: str) -> tuple[str, str | None]:
    """Split a reference at the ``+`` between model and adapter, if there is one.

    An existing folder with a ``+`` in its name is not split.

    Raises:
        SpecError: no way to split the text fits, or several do.
    """
    if "+" not in text or local_folder(text).exists():
        return text, None
    places = [place for place, letter in enumerate(text) if letter == "+"]
    pairs = [(text[:place], text[place + 1 :]) for place in places]
    readable = [pair for pair in pairs if all(_may_exist(part) for part in pair)]
    if len(readable) != 1:
        found = "can be split in several ways as" if readable else "is neither a folder nor"
        raise SpecError(
            f"model `{text}`: {found} `MODEL+ADAPTER`; "
            "each part must be an existing folder or a hub name (`org/name`)."
        )
    return readable[0]


def _may_exist(part: str) -> bool:
    return bool(part) and (local_folder(part).is_dir() or is_hub_name(part, needs_owner=True))


def open_model(name: str, text: str, *, allow_pickle: bool = False) -> Checkpoint:
    """Open the model that a reference names, reading only headers.

    Raises:
        SpecError: the reference cannot be understood.
        ModelError: a part cannot be found, is incomplete, or the adapter does not fit the model.
    """
    model, adapter = parse(text)
    folder = locate(model, pickled=allow_pickle)
    if adapter is None and (folder / CONFIG).is_file() and not _is_adapter(folder):
        raise ModelError(
            f"{name}: {folder} has the weights of a model and an adapter ({CONFIG}); write "
            f"`MODEL+{folder}` for the adapter, or remove {CONFIG} for the model."
        )
    if _is_adapter(folder):
        if adapter is not None:
            raise ModelError(f"{name}: {model} is an adapter itself; put a model before the `+`.")
        return _adapted(name, _base_of(folder), folder, allow_pickle)
    if adapter is not None:
        return _adapted(name, model, locate(adapter, pickled=allow_pickle), allow_pickle)
    return Checkpoint(name, folder, allow_pickle=allow_pickle)


def _adapted(name: str, base: str, adapter: Path, allow_pickle: bool) -> Checkpoint:
    folder = locate(base, pickled=allow_pickle)
    if not (adapter / CONFIG).is_file():
        raise ModelError(f"{name}: {adapter} has no {CONFIG}, so it is not an adapter.")
    if _is_adapter(folder):
        raise ModelError(f"{name}: {folder} is an adapter itself; merge it into its model first.")
    model = Checkpoint(name, folder, allow_pickle=allow_pickle)
    return AdaptedCheckpoint(model, adapter, base, allow_pickle=allow_pickle)


def _is_adapter(folder: Path) -> bool:
    return (folder / CONFIG).is_file() and not any(folder.glob("model*.safetensors"))


def _base_of(adapter: Path) -> str:
    config = read_object(adapter / CONFIG)
    base = config.get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise ModelError(
            f"{adapter / CONFIG}: has no `base_model_name_or_path`; "
            "write the reference as `MODEL+ADAPTER`."
        )
    revision = config.get("revision")
    is_on_hub = is_hub_name(base, needs_owner=True) and not local_folder(base).exists()
    has_revision = isinstance(revision, str) and "@" not in base
    return f"{base}@{revision}" if has_revision and is_on_hub else base
