"""What a translation must keep as it is: placeholders, addresses, code, markup and names."""

import re
from collections import Counter
from collections.abc import Iterable

_SPANS = re.compile(
    r"""
      ```.*?```                                # a block of code
    | `[^`\n]+`                                # code in a line
    | https?://[^\s<>"')\]]*[^\s<>"')\].,;:!?।。、，] | \b[\w.+-]+@[\w-]+\.[\w.-]*\w   # addresses
    | <!--.*?--> | </?[A-Za-z][^<>\n]*> | &\#?\w+;   # markup
    | \{\{[^{}\n]*\}\} | \$?\{[\w.:]*\} | \$[A-Za-z_]\w*   # {{name}}, {0}, ${NAME}, $NAME
    | %\(\w+\)[sdf] | %[sd](?!\w)              # %(name)s, %d
    | \\[A-Za-z]+(?:\{[^{}\n]*\})*             # commands of TeX
    """,
    re.VERBOSE | re.DOTALL,
)


def protected_spans(text: str) -> Counter[str]:
    r"""Return the spans of a text that a translation keeps, with their number.

    Example:
        >>> sorted(protected_spans("Hi {name}, see https://a.org/b?c=1. Run `ls -l` or <b>ask</b>"))
        ['</b>', '<b>', '`ls -l`', 'https://a.org/b?c=1', '{name}']
    """
    return Counter(match.group().strip() for match in _SPANS.finditer(text))


def not_kept(source: str, translation: str, names: Iterable[str] = ()) -> list[str]:
    """Return what a translation has lost, added or changed, as short phrases.

    A name must occur in the translation if it occurs in the source; grammar decides how often.
    """
    before, after = protected_spans(source), protected_spans(translation)
    found = [f"lost {span}" for span in (before - after)]
    found += [f"added {span}" for span in (after - before)]
    found += [
        f"lost the name {name}"
        for name in names
        if _named(name, source) and not _named(name, translation)
    ]
    return found


def _named(name: str, text: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(name)}", text) is not None
