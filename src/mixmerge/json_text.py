"""The one JSON reader, with limits on size and depth, and no lone surrogates.

The standard library reads nested lists until the stack is full, and lone surrogates that no file
can store; both would fail far from the file that had them.
"""

import json
import re
from collections.abc import Callable
from typing import Any

MOST_VALUES = 10_000_000
"""In a document: they take a gigabyte. The largest tokenizers have two million."""
_DEEPEST = 100
"""Levels of nesting."""
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
"""An escaped surrogate; two in a row may be a valid pair."""


def parse(
    text: str, *, pairs: Callable[[list[tuple[str, Any]]], Any] | None = None, limited: bool = True
) -> Any:
    """Read JSON text of one document.

    ``pairs`` makes an object of its keys and values (default: a ``dict``). Tables of data may have
    more than `MOST_VALUES` values if not ``limited``.

    Raises:
        ValueError: it is not JSON, or is too large or too deep; `json.JSONDecodeError` has the
            line. The message ends without a full stop.
    """
    if limited and text.count(",") + text.count("[") + text.count("{") > MOST_VALUES:
        raise ValueError(f"has more than {MOST_VALUES:,} values")
    try:
        value = json.loads(text, object_pairs_hook=pairs)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    _check_depth(value)
    if _HALF.search(text) is not None:
        json.dumps(value, ensure_ascii=False).encode()
    return value


def _check_depth(value: Any) -> None:
    nested = [value]
    for _ in range(_DEEPEST + 1):
        parts = [node.values() if isinstance(node, dict) else node
                 for node in nested if isinstance(node, (dict, list))]  # fmt: skip
        nested = [item for part in parts for item in part if isinstance(item, (dict, list))]
        if not nested:
            return
    raise ValueError("nested too deeply")
