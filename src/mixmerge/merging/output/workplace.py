"""The temporary folder of a merge, which an interrupted merge continues from."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mixmerge.durable import take_lock
from mixmerge.errors import ResourceError, SpecError
from mixmerge.files import PARTIAL, explained_disk_errors, sync, sync_all, write_text
from mixmerge.merging.output.lineage import is_ours

_KEY = ".merge-key"


@contextmanager
def workplace(out: Path, key: str) -> Iterator[Path]:
    """Yield a temporary folder next to ``out``; on success it is renamed to ``out``.

    Complete files of an earlier merge with the same key are kept and reused. After an interruption
    or a full disk the folder stays for the next attempt; after any other error it is removed.
    ``out`` itself is only touched at the end, when an older merge is replaced.

    Raises:
        ResourceError: another process is writing the same folder, or the disk does not allow it.
        SpecError: the temporary folder contains something else.
    """
    partial = out.with_name(out.name + PARTIAL)
    with explained_disk_errors(out):
        partial.mkdir(parents=True, exist_ok=True)
        handle = os.open(partial, os.O_RDONLY)
        try:
            if not take_lock(handle, out):
                raise ResourceError(
                    f"{out}: another process is writing this model; wait for it or stop it."
                )
            _begin(partial, key)
            try:
                yield partial
            except BaseException as error:
                _drop_unfinished(partial)
                if not goes_on_later(error) or [f.name for f in partial.iterdir()] == [_KEY]:
                    shutil.rmtree(partial, ignore_errors=True)
                raise
            _appear(partial, out)
        finally:
            os.close(handle)


def check_space(folder: Path, needed: int) -> None:
    """Check that the disk has room for ``needed`` more bytes.

    Raises:
        ResourceError: it does not.
    """
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ResourceError(
            f"{folder.with_suffix('')}: the merged model needs {needed / 1e9:.2f} GB more and the "
            f"disk has {free / 1e9:.2f} GB free. Free some space or choose another disk."
        )


def _begin(partial: Path, key: str) -> None:
    note = partial / _KEY
    if note.is_file() and note.read_text(encoding="utf-8") == key:
        _drop_unfinished(partial)
        return
    left = sorted(partial.iterdir())
    # A merge that was killed just before the final rename has a recipe but no key.
    ours = note.is_file() or is_ours(partial)
    if not ours and any(not entry.name.startswith(_KEY) for entry in left):
        raise SpecError(
            f"{partial}: the model would be written here, but the folder contains something that "
            "no merge wrote; move it away."
        )
    for entry in left:
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    write_text(note, key)


def goes_on_later(error: BaseException) -> bool:
    """Whether the same command may succeed later, so that complete files should be kept."""
    return isinstance(error, (KeyboardInterrupt, OSError, ResourceError))


def _drop_unfinished(partial: Path) -> None:
    """Remove partial files; a process still writing one can no longer rename it."""
    for unfinished in partial.rglob(f"*{PARTIAL}"):
        unfinished.unlink(missing_ok=True)


def _appear(partial: Path, out: Path) -> None:
    """Flush everything to disk, then give the folder its final name."""
    _drop_unfinished(partial)
    sync_all(partial)
    if out.exists():
        shutil.rmtree(out)
    # The key goes last: until here an interrupted merge can be continued.
    (partial / _KEY).unlink()
    sync(partial)
    partial.rename(out)
    sync(out.parent)
