"""A terminal that shows text from models, files and logs without obeying its control characters."""

import re
from collections.abc import Iterable

from rich import console
from rich.console import ConsoleOptions, RenderableType
from rich.segment import Segment

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Characters that move the cursor, colour, or reverse the direction of text; not joiners.

Line breaks and tabs stay, since messages have several lines.
"""


class Console(console.Console):
    """A rich console that does not pass on control characters in texts."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Yield the segments of a renderable, without control characters in their texts."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else _CONTROL.sub("\ufffd", text), style, control)
