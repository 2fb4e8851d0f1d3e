"""Rubrics: versioned texts that say what a judge model decides, filled in and read back.

What a model answered is data. It stands between marks that are a digest of the very texts they
enclose, so that no text can contain its own closing mark; placeholders inside it stay as they
are; and the verdict is read from the last line of the judge's reply only.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

from mixmerge.errors import SpecError
from mixmerge.fingerprint import fingerprint

_PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")
_OFFERED = re.compile(r"^VERDICT: (\w+)$", re.MULTILINE)
_GIVEN = re.compile(r"\W*verdict\W*:\W*(\w+)\W*", re.IGNORECASE)


@dataclass(frozen=True)
class Rubric:
    """One version of one rubric."""

    name: str
    """Name and version, e.g. ``quality@1``."""
    template: str

    @property
    def words(self) -> tuple[str, ...]:
        """The verdicts that the rubric offers."""
        return tuple(_OFFERED.findall(self.template))

    def fill(self, fields: Mapping[str, str]) -> str:
        """Return the text for the judge, with every placeholder replaced once."""
        values = {**fields, "mark": fingerprint(dict(fields))[:16]}
        return _PLACEHOLDER.sub(lambda match: values[match.group(1)], self.template)

    def read(self, reply: str) -> str | None:
        """Return the verdict on the last line of a reply, or None where there is none."""
        lines = reply.strip().splitlines()
        match = _GIVEN.fullmatch(lines[-1].strip()) if lines else None
        word = match.group(1).upper() if match else None
        return word if word in self.words else None


def load_rubric(name: str) -> Rubric:
    """Load a rubric by name and version.

    Raises:
        SpecError: there is no such rubric; the message lists those there are.
    """
    folder = files("mixmerge.evaluate") / "rubrics"
    known = {entry.name.removesuffix(".txt"): entry for entry in folder.iterdir()}
    if name not in known:
        raise SpecError(f"There is no rubric {name!r}; there are {', '.join(sorted(known))}.")
    return Rubric(name, known[name].read_text(encoding="utf-8"))
