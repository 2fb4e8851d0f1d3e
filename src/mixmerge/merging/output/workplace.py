"""Where a merge is written until it is whole, and what an interrupted one finds again."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mixmerge.durable import take_lock
from mixmerge.errors import ResourceError, SpecError
from mixmerge.files import PARTIAL, explained_disk_errors, sync, sync_all, write_text
from mixmerge.merging.output.lineage import RECIPE_FILE

_KEY = ".merge-key"


@contextmanager
def workplace(out: Path, key: str) -> Iterator[Path]:
    """Yield a neighbour of ``out`` to fill; on success it takes the name ``out``.

    What an earlier merge with the same key left there is kept, so that files that are whole need
    not be written again. An interruption or a full disk leaves it for the next attempt; any other
    error removes it. ``out`` itself is untouched until the end, when an older one is replaced.

    Raises:
        ResourceError: another process is writing the same folder, or the disk does not allow it.
        SpecError: the neighbour holds something that is not a merge's.
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
                # Finished files are kept where going on makes sense.
                if not goes_on_later(error) or [f.name for f in partial.iterdir()] == [_KEY]:
                    shutil.rmtree(partial, ignore_errors=True)
                raise
            _appear(partial, out)
        finally:
            os.close(handle)


def check_space(folder: Path, needed: int) -> None:
    """Check that the disk has room for ``needed`` bytes more.

    Raises:
        ResourceError: it has not.
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
    # A merge that was killed while it took its name has a recipe and no key any more.
    ours = note.is_file() or (partial / RECIPE_FILE).is_file()
    if not ours and any(not entry.name.startswith(_KEY) for entry in left):
        raise SpecError(
            f"{partial}: is where the model would be written, and holds something that no merge "
            "left there; move it away."
        )
    for entry in left:
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    write_text(note, key)


def goes_on_later(error: BaseException) -> bool:
    """Say whether the same command may succeed later, so that what is whole should be kept."""
    return isinstance(error, (KeyboardInterrupt, OSError, ResourceError))


def _drop_unfinished(partial: Path) -> None:
    """Remove what nobody finishes any more: whoever still writes it cannot give it a name."""
    for unfinished in partial.rglob(f"*{PARTIAL}"):
        unfinished.unlink(missing_ok=True)


def _appear(partial: Path, out: Path) -> None:
    """Flush what is not flushed yet, and give the folder its name."""
    _drop_unfinished(partial)
    sync_all(partial)
    if out.exists():
        shutil.rmtree(out)
    (partial / _KEY).unlink()
    sync(partial)
    partial.rename(out)
    sync(out.parent)
