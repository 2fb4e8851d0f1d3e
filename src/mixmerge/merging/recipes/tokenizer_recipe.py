"""What a recipe says of the output's tokenizer: which tokens, and whose rows.

The grammar is that of mergekit's ``tokenizer`` section; models are called by their names in the
recipe.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from mixmerge.spec_model import SpecModel


class ZeroRow(SpecModel):
    """A row of zeros."""

    kind: Literal["zero"]


class ModelTokenRow(SpecModel):
    """The row that one model has for one of its tokens, by the token's text or its id."""

    kind: Literal["model_token"]
    model: str
    """Name of an input."""
    token: str | None = None
    token_id: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _is_one_token(self) -> Self:
        if (self.token is None) == (self.token_id is None):
            raise ValueError("needs either `token` or `token_id`, and not both")
        return self


def _known_kind(value: Any) -> Any:
    """Say which kinds there are before pydantic tries every one of them in vain."""
    if isinstance(value, dict) and value.get("kind") not in ("zero", "model_token"):
        raise ValueError("`kind` must be zero or model_token")
    return value


class TokenRule(SpecModel):
    """Where the rows of one token come from in the models that lack it."""

    source: Annotated[
        Annotated[ZeroRow | ModelTokenRow, Field(discriminator="kind")] | str | None,
        BeforeValidator(_known_kind),
    ] = None
    """A row of zeros, some model's row for some token, or the name of an input that has this token.
    None: as for every other token."""
    force: bool = False
    """Whether models that have the token get the row as well, in place of their own."""

    @model_validator(mode="after")
    def _has_what_it_forces(self) -> Self:
        if self.force and self.source is None:
            raise ValueError("`force` needs a `source`")
        return self


class TokenizerRecipe(SpecModel):
    """Which tokenizer the output gets; the rows of all models are put into its order."""

    source: str = "union"
    """``union`` of all inputs' tokens, ``base`` (the base's, else the first input's), the name of
    an input, or a folder or hub name."""
    tokens: dict[str, TokenRule] = {}
    """Rules for single tokens; a token that the tokenizer lacks is added to it."""
    pad_to_multiple_of: int | None = Field(default=None, ge=1)
    """Rows of the embedding are rounded up to a multiple of this."""

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the inputs that the token rules mention."""
        sources = [rule.source for rule in self.tokens.values()]
        named = [
            source.model if isinstance(source, ModelTokenRow) else source
            for source in sources
            if isinstance(source, (ModelTokenRow, str))
        ]
        return tuple(dict.fromkeys(named))
