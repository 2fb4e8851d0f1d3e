"""The base class and helpers of all specifications, from study files to single rules."""

import difflib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal, Union

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Tag, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

Problem = tuple[tuple[str | int, ...], str]
"""The keys that lead to a problem, and a sentence about it."""


class SpecModel(BaseModel):
    """An immutable specification; an unknown key is an error.

    The text under a field describes it in the JSON Schema, which editors show.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    def requires(self) -> tuple[str, ...]:
        """Return the packages that this part needs beside those that mixmerge always has."""
        return ()


def parts(
    value: object, place: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], SpecModel]]:
    """Yield every specification within a value, outer ones first, with the keys that lead to it.

    Args:
        value: a model, or a mapping or list of values.
        place: the keys that lead to the value.
    """
    inside: Iterable[tuple[Any, object]] = ()
    if isinstance(value, BaseModel):
        if isinstance(value, SpecModel):
            yield place, value
        inside = ((name, getattr(value, name)) for name in type(value).model_fields)
    elif isinstance(value, Mapping):
        inside = value.items()
    elif isinstance(value, (list, tuple)):
        inside = enumerate(value)
    for key, each in inside:
        yield from parts(each, (*place, key))


def one_of(models: Mapping[str, type[SpecModel]], what: str) -> Any:
    """Return the type of a mapping that is one of several models, chosen by a key that only it has.

    A bare word such as ``win_rate`` means the model with that key and its defaults. If two such
    keys are given, the first counts. ``what`` names one of the models in messages: ``measure``.

    Example:
        >>> from pydantic import TypeAdapter
        >>> class Rate(SpecModel):
        ...     rate: str
        >>> class Mean(SpecModel):
        ...     mean: tuple[float, float] = (0, 1)
        >>> measures = TypeAdapter(one_of({"rate": Rate, "mean": Mean}, "measure"))
        >>> measures.validate_python({"rate": "refused"})
        Rate(rate='refused')
        >>> measures.validate_python("mean")
        Mean(mean=(0.0, 1.0))
    """
    usual = {key: model.model_fields[key] for key, model in models.items()}
    words = {key: field.default for key, field in usual.items() if not field.is_required()}

    def spelled_out(value: Any) -> Any:
        return {value: words[value]} if isinstance(value, str) and value in words else value

    def tag(value: Any) -> str | None:
        names = value if isinstance(value, dict) else getattr(value, "__dict__", {})
        key = next((key for key in models if key in names), None)
        return key and f"{key} {what}"  # two words, to differ from any key

    alone = f", or is one of the words {quoted(words)}" if words else ""
    # Built at run time from a registry, so that a new model is registered in one place only.
    tagged = tuple(Annotated[model, Tag(f"{key} {what}")] for key, model in models.items())
    members: Any = Union[tagged]  # noqa: UP007
    unknown = Discriminator(
        tag,
        custom_error_type=what,
        custom_error_message=f"a {what} has one of the keys {quoted(models)}{alone}",
    )
    written: Any = Annotated[members, unknown]
    if words:
        written |= Literal[tuple(words)]
    return Annotated[members, unknown, BeforeValidator(spelled_out, json_schema_input_type=written)]


def hint(seen: str, known: Iterable[str]) -> str:
    """Return the end of a sentence about an unknown name: a similar known one, or a full stop."""
    near = difflib.get_close_matches(seen, list(known), n=1)
    return f"; did you mean `{near[0]}`?" if near else "."


def quoted(names: Iterable[str]) -> str:
    """List names in a sentence."""
    return ", ".join(f"`{name}`" for name in names)


def unknown_name(name: str, section: str, known: Collection[str]) -> str:
    """Return the error for an unknown name: the section, its names, and the most similar one."""
    listed = quoted(known) or "which is empty"
    return f"there is no `{name}` in `{section}` ({listed}){hint(name, known)}"


_WORDS = {
    **dict.fromkeys(("list_type", "tuple_type", "set_type"), "a list is required"),
    **dict.fromkeys(
        ("dict_type", "model_type", "model_attributes_type", "mapping_type"),
        "keys and values are required",
    ),
    "string_type": "text is required",
    **dict.fromkeys(
        ("int_type", "int_parsing", "int_from_float", "int_parsing_size"),
        "a whole number is required",
    ),
    **dict.fromkeys(("float_type", "float_parsing"), "a number is required"),
    "finite_number": "a finite number is required",
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false is required"),
    "path_type": "a path is required",
    "missing": "this is required",
    "extra_forbidden": "unknown key",
}
"""What pydantic asks for, by the type of its error."""
_SHOULD = re.compile(r"^(?:Input|String|List|Dictionary|Tuple|Value) should ")


def in_words(kind: str, message: str) -> str:
    """Say what a field requires, from the type and the message of an error of pydantic."""
    said = _WORDS.get(kind) or _SHOULD.sub("must ", message.removeprefix("Value error, "))
    return said.replace(" after validation", "")


def shown(value: object, most: int = 60) -> str:
    """Write a value for a message as YAML would have it, at most so many characters.

    Example:
        >>> shown(None), shown(True), shown({"files": ["a.jsonl"], "size": 3})
        ('nothing', 'true', "{files: ['a.jsonl'], size: 3}")
    """
    text = _plain(value)
    return text if len(text) <= most else text[: most - 3] + "..."


def _plain(value: object) -> str:
    if value is None or isinstance(value, bool):
        return "nothing" if value is None else str(value).lower()
    if isinstance(value, BaseModel):
        value = value.model_dump(exclude_unset=True)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_plain(each)}" for key, each in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_plain, value)) + "]"
    return repr(value) if isinstance(value, (str, bytes)) else str(value)


def refusal(kind: type[BaseModel], given: Mapping[str, Any], problems: list[Problem]) -> Exception:
    """Return a validation error with each problem at its key, so that messages have its line."""
    return ValidationError.from_exception_data(
        kind.__name__,
        [
            InitErrorDetails(
                type=PydanticCustomError("refused", "{what}", {"what": what.removesuffix(".")}),
                loc=place,
                input=_at(given, place),
            )
            for place, what in problems
        ],
    )


def _at(value: Any, place: tuple[str | int, ...]) -> Any:
    for key in place:
        if isinstance(value, BaseModel):
            value = getattr(value, str(key), value)
        elif isinstance(value, Mapping):
            value = value.get(key)
        elif isinstance(value, (list, tuple)) and isinstance(key, int):
            value = value[key]
    return value
