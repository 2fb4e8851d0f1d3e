"""Thoughts are no answer: the reasoning at the beginning of a text is parted from what follows."""

import re

_TAGS = r"(?:seed:)?think(?:ing)?|thoughts?|reasoning|analysis"
_OPENED = re.compile(
    rf"\s*(?:<(?:{_TAGS})>|\[THINK\]|◁think▷|<\|START_THINKING\|>|<\|channel>thought|"
    r"(?:<\|start\|>assistant)?<\|channel\|>analysis<\|message\|>|analysis(?=.*?assistantfinal))",
    re.IGNORECASE | re.DOTALL,
)
"""The last kind is Harmony's (gpt-oss), the very last without its control tokens."""
_CLOSED = re.compile(
    rf"</(?:{_TAGS})>|\[/THINK\]|◁/think▷|<\|END_THINKING\|>|<channel\|>|"
    r"<\|channel\|>final(?:\s*<\|constrain\|>\w+)?<\|message\|>|assistantfinal",
    re.IGNORECASE,
)
_RESPONSE = re.compile(r"<\|START_RESPONSE\|>(.*?)(?:<\|END_RESPONSE\|>)?", re.DOTALL)
"""What Cohere's models put around the answer to thoughts."""


def part(text: str) -> tuple[str, str]:
    """Return the thoughts of a text and its answer; without thoughts, nothing and the text itself.

    Thoughts stand at the beginning. Those that are never closed leave no answer. Where the chat
    template has opened them, the text has only their end.
    """
    thoughts: list[str] = []
    start = 0
    while True:
        opened, closed = _OPENED.match(text, start), _CLOSED.search(text, start)
        if opened and not closed:
            return "\n".join([*thoughts, text[opened.end() :].strip()]), ""
        if not closed or (thoughts and not opened):
            break
        thoughts.append(text[opened.end() if opened else start : closed.start()].strip())
        start = closed.end()
    if not thoughts:
        return "", text
    answer = text[start:].strip()
    response = _RESPONSE.fullmatch(answer)
    return "\n".join(thoughts), response[1] if response else answer
