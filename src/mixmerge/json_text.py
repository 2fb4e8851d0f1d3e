"""The one reader of JSON: with limits on what it makes, and no half characters.

The standard library reads lists within lists until the stack is full, and halves of characters
that no file can hold; either failed far from the file that held it.
"""

import json
import re
from collections.abc import Callable
from typing import Any

MOST_VALUES = 10_000_000
"""Of a document: they take a gigabyte. The tokenizer of a quarter of a million tokens has two
million."""
_DEEPEST = 100
"""Objects and lists within each other."""
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
"""A half of a character, escaped; two in a row may be a whole one."""


def parse(
    text: str, *, pairs: Callable[[list[tuple[str, Any]]], Any] | None = None, limited: bool = True
) -> Any:
    """Read JSON text.

    Args:
        text: One document.
        pairs: What makes an object of its keys and values; a ``dict`` by default.
        limited: Whether more than `MOST_VALUES` are refused; tables of data may be larger.

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
