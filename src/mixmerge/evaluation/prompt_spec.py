"""What an evaluation is asked to ask: prompt sets, by name or by their columns."""

from pathlib import Path
from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from mixmerge.records import Translated
from mixmerge.spec_model import SpecModel
from mixmerge.tables import DataSpec

SetName = Literal["aya_redteaming", "dolly200", "m_arena_hard", "xstest"]
"""Published prompt sets whose format is known; a file of `mixmerge.evaluation.prompt_sets` each."""


class PromptColumns(SpecModel):
    """Which column of the data holds what; a field left out is looked up under its own name."""

    prompt: str | Annotated[list[str], Field(min_length=1)] | None = None
    """The user's text, or a list of ``{role, content}`` that ends with the user's turn. Several
    columns of text are joined by an empty line: ``[instruction, input]``."""
    id: str | None = None
    """A name of the prompt, unique in the set; by default a digest of language and text."""
    cluster: str | None = None
    """The source question that translations share; by default every prompt is its own."""
    language: str | None = None
    """The prompt's language."""
    category: str | None = None
    """For example a harm category; a JSON list inside a string is read as such."""
    accepted: str | None = None
    """Right answers, where there are any: a text or a list of texts."""
    tests: str | None = None
    """Python tests of an answer's code, where there are any: a text or a list of texts."""
    translated: str | None = None
    """``none``, ``human`` or ``machine``; by default what `PromptSetSpec.translated` says."""


class PromptSetSpec(DataSpec):
    """Prompts of one axis: a published set by name, the testbed's, or any rows."""

    testbed: str | None = None
    """Prompts of the testbed, e.g. ``general`` or ``safety``."""
    set: SetName | None = None
    """A published set, from the hub, or from a copy of it in the folder that `hub` names."""
    files: Path | list[Path] | dict[str, Path] | None = None
    """JSON Lines, JSON, CSV or Parquet files: one, several, or one a language. With
    ``set: xstest``: its translations, one file a language."""
    split: str = "test"
    """Split of the hub data set, or of the testbed: ``dev`` or ``test``."""
    columns: PromptColumns = PromptColumns()
    """Which column holds what."""
    language: str | None = None
    """The language of all prompts, where no column says it; not needed where only one language is
    evaluated."""
    translated: Translated | dict[str, Translated] | None = None
    """Who translated the prompts: one word for all, or one a language. By default nobody; a
    published set knows it itself."""

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
        # Defaults may be spelled out: the report's step reads the whole study back.
        defaults = {key: field.default for key, field in type(self).model_fields.items()}
        own = [
            key
            for key in ("columns", "config", "language", "split")
            if getattr(self, key) != defaults[key]
        ]
        if own:
            raise ValueError(
                f"`set: {self.set}` knows its own {', '.join(f'`{key}`' for key in own)}: "
                "leave them out, or give `hub` or `files` without `set`"
            )
        if self.set != "xstest":
            for key in ("files", "translated"):
                if getattr(self, key) is not None:
                    raise ValueError(
                        f"`{key}` does not go with `set: {self.set}`; a copy of the set in its own "
                        "format is named with `hub`"
                    )
        elif self.files is not None and not isinstance(self.files, dict):
            raise ValueError(
                "with `set: xstest`, `files` are translations, one file a language: {hi: PATH}"
            )
        elif isinstance(self.files, dict) and self.translated in (None, "none"):
            raise ValueError(
                "`set: xstest` is English; say who translated the `files`: "
                "`translated: machine` or `translated: human`"
            )
