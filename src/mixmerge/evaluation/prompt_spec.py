"""Prompt sets: published ones by name, or any data by its columns."""

from pathlib import Path
from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from mixmerge.records import Translated
from mixmerge.spec_model import SpecModel
from mixmerge.tables import DataSpec

SetName = Literal["aya_redteaming", "dolly200", "m_arena_hard", "xstest"]
"""Published prompt sets; each has a file in `mixmerge.evaluation.prompt_sets`."""


class PromptColumns(SpecModel):
    """The columns of the data; by default each has the name of its field."""

    prompt: str | Annotated[list[str], Field(min_length=1)] | None = None
    """The user's text, or a list of ``{role, content}`` that ends with the user's turn. Several
    text columns are joined by an empty line: ``[instruction, input]``."""
    id: str | None = None
    """A unique id of the prompt; by default a digest of language and text."""
    cluster: str | None = None
    """The source question that translations share; by default every prompt is its own."""
    language: str | None = None
    """The prompt's language."""
    category: str | None = None
    """For example a harm category; a string with a JSON list is parsed."""
    accepted: str | None = None
    """Right answers: a text or a list of texts."""
    tests: str | None = None
    """Python tests of the answer's code: a text or a list of texts."""
    translated: str | None = None
    """``none``, ``human`` or ``machine``; by default what `PromptSetSpec.translated` says."""


class PromptSetSpec(DataSpec):
    """Prompts of one axis: a published set by name, the testbed's, or any rows."""

    testbed: str | None = None
    """Prompts of the testbed, e.g. ``general`` or ``safety``."""
    set: SetName | None = None
    """A published set, from the hub or from a copy in the folder that `hub` names."""
    files: Path | list[Path] | dict[str, Path] | None = None
    """JSON Lines, JSON, CSV or Parquet files: one, several, or one per language. With
    ``set: xstest``: its translations, one file per language."""
    split: str = "test"
    """Split of the hub data set, or of the testbed: ``dev`` or ``test``."""
    columns: PromptColumns = PromptColumns()
    """The columns of the data."""
    language: str | None = None
    """The language of all prompts, if no column says it; not needed if only one language is
    evaluated."""
    translated: Translated | dict[str, Translated] | None = None
    """Who translated the prompts, for all or per language. By default nobody; published sets have
    their own value."""

    def translated_into(self, language: str) -> Translated:
        """Return who translated the prompts of a language."""
        if isinstance(self.translated, dict):
            return self.translated.get(language, "none")
        return self.translated or "none"

    @model_validator(mode="after")
    def _has_one_origin(self) -> Self:
        origins = {key: getattr(self, key) for key in ("testbed", "set", "files", "hub")}
        given = [key for key, origin in origins.items() if origin is not None]
        if self.set is not None:
            self._check_published()
        elif len(given) != 1:
            raise ValueError(
                "give exactly one of `testbed`, `set`, `files` and `hub` "
                f"(seen: {', '.join(given) or 'none'}; sets: {', '.join(get_args(SetName))})"
            )
        elif self.hub is None and (self.config or self.revision):
            raise ValueError("`config` and `revision` belong to `hub`")
        elif self.files is not None and self.split != "test":
            raise ValueError("`split` belongs to `hub` and `testbed`")
        return self

    def _check_published(self) -> None:
        if self.testbed is not None:
            raise ValueError("give exactly one of `testbed` and `set`")
        # Defaults may be given explicitly: the report step reads a study back with all of them.
        defaults = {key: field.default for key, field in type(self).model_fields.items()}
        own = [
            key
            for key in ("columns", "config", "language", "split")
            if getattr(self, key) != defaults[key]
        ]
        if own:
            raise ValueError(
                f"`set: {self.set}` has its own {', '.join(f'`{key}`' for key in own)}: remove "
                "them, or give `hub` or `files` without `set`"
            )
        if self.set != "xstest":
            for key in ("files", "translated"):
                if getattr(self, key) is not None:
                    raise ValueError(
                        f"`{key}` cannot be combined with `set: {self.set}`; give the folder of a "
                        "copy of the set as `hub`"
                    )
        elif self.files is not None and not isinstance(self.files, dict):
            raise ValueError(
                "with `set: xstest`, `files` are translations, one file per language: {hi: PATH}"
            )
        elif isinstance(self.files, dict) and self.translated in (None, "none"):
            raise ValueError(
                "`set: xstest` is English; say who translated the `files`: "
                "`translated: machine` or `translated: human`"
            )
