"""What all specifications share, from a study file down to one rule of a merge."""

from collections.abc import Mapping
from typing import Annotated, Any, Union

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Tag


class SpecModel(BaseModel):
    """A specification is immutable, and an unknown key is an error.

    The text under a field describes it in the JSON Schema, which editors show.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def one_of(models: Mapping[str, type[SpecModel]], what: str) -> Any:
    """Return the type of a mapping that is one of several models, told by the key that only it has.

    A bare word stands for the model of that key with its defaults: ``win_rate`` for
    ``{win_rate: base}``.

    Args:
        models: by key, which is a field of the model. Of two keys in one mapping the first counts.
        what: one of them, in a word, for messages: ``measure``.
    """

    def spelled_out(value: Any) -> Any:
        model = models.get(value) if isinstance(value, str) else None
        if model is None or model.model_fields[value].is_required():
            return value
        return {value: model.model_fields[value].default}

    def tag(value: Any) -> str | None:
        names = value if isinstance(value, dict) else getattr(value, "__dict__", {})
        key = next((key for key in models if key in names), None)
        return key and f"{key} {what}"  # two words: a tag is no key of the file

    known = ", ".join(f"`{key}`" for key in models)
    # Assembled at run time from a registry, so that a new model is named in one place only.
    members = Union[tuple(Annotated[model, Tag(f"{key} {what}")] for key, model in models.items())]  # noqa: UP007
    unknown = Discriminator(
        tag, custom_error_type=what, custom_error_message=f"a {what} has one of the keys {known}"
    )
    return Annotated[members, unknown, BeforeValidator(spelled_out)]
