"""Rubrics: versioned texts that say what a judge model decides, filled in and read back.

What a model answered is data. It stands between marks that are a digest of the very texts they
enclose, so that no text can contain its own closing mark; placeholders inside it stay as they
are; and the verdict is read from the last line of the judge's reply only.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Any

from mixmerge.errors import SpecError
from mixmerge.fingerprint import fingerprint

_PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")
_OFFERED = re.compile(r"^VERDICT: (\w+)$", re.MULTILINE)
_GIVEN = re.compile(r"\W*verdict\W*:\W*(\w+)\W*", re.IGNORECASE)
_NOTE = re.compile(r"^([A-Z ]+): <(.+)>$", re.MULTILINE)
_LONGEST_NOTE = 80
"""Characters of a note that are kept."""


@dataclass(frozen=True)
class Rubric:
    """One version of one rubric."""

    name: str
    """Name and version, e.g. ``quality@1``."""
    template: str

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The verdicts that the rubric offers."""
        return tuple(_OFFERED.findall(self.template))

    @cached_property
    def notes(self) -> dict[str, str]:
        """What the rubric asks for beside the verdict: names, and what may stand there."""
        return {_key(name): offered for name, offered in _NOTE.findall(self.template)}

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

    def read_notes(self, reply: str) -> dict[str, str]:
        """Return the notes on the lines just before the verdict; what is not there is left out.

        A note decides nothing, so one that is missing or odd makes no verdict unreadable.
        """
        lines = [line for line in reply.strip().splitlines() if line.strip()]
        said = [line.partition(":") for line in lines[-len(self.notes) - 1 : -1]]
        found = {_key(name): value.strip(" *_`<>") for name, _, value in said}
        return {key: found[key][:_LONGEST_NOTE] for key in self.notes if found.get(key)}

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of a structured reply: reasons first, so that the verdict follows."""
        text = {"type": "string"}
        properties: dict[str, Any] = {"reasons": text}
        for key, offered in self.notes.items():
            choices = offered.split(" | ")
            properties[key] = {**text, "enum": choices} if len(choices) > 1 else text
        properties["verdict"] = {**text, "enum": list(self.words)}
        return {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }


def _key(name: str) -> str:
    return "_".join(re.findall(r"[a-z]+", name.lower()))


def load_rubric(name: str) -> Rubric:
    """Load a rubric by name and version.

    Raises:
        SpecError: there is no such rubric; the message lists those there are.
    """
    folder = files("mixmerge.evaluation") / "rubrics"
    known = {entry.name.removesuffix(".txt"): entry for entry in folder.iterdir()}
    if name not in known:
        raise SpecError(f"There is no rubric {name!r}; there are {', '.join(sorted(known))}.")
    return Rubric(name, known[name].read_text(encoding="utf-8"))
