"""The terminal, on which no name, log line or reply does anything but be read."""

import re
from collections.abc import Iterable

from rich import console
from rich.console import ConsoleOptions, RenderableType
from rich.segment import Segment

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""What moves the cursor, colours, or turns the direction of what follows; not what joins letters.

Line breaks and tabs stay: a message has lines.
"""


class Console(console.Console):
    """A console of rich that shows control characters of texts as what they are: no text."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Yield the segments of something to show, without control characters in their texts."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else _CONTROL.sub("\ufffd", text), style, control)
