"""The chat template of a merged model: most inputs', a known one, or the recipe's own.

The known ones are written from the published formats and have mergekit's names.
"""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mixmerge.errors import ModelError, SpecError
from mixmerge.files import read_json, write_json, write_text
from mixmerge.merging.models.checkpoint import Checkpoint

FILE = "chat_template.jinja"
_OLDER = "chat_template.json"
_SETTINGS = "tokenizer_config.json"
AUTO = "auto"

_CHATML = """\
{%- for message in messages -%}
{{ '<|im_start|>' ~ message.role ~ '\\n' ~ message.content ~ '<|im_end|>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif -%}
"""

_LLAMA3 = """\
{{- bos_token }}
{%- for message in messages -%}
{{ '<|start_header_id|>' ~ message.role ~ '<|end_header_id|>\\n\\n' }}
{{- message.content | trim ~ '<|eot_id|>' }}
{%- endfor -%}
{%- if add_generation_prompt %}
{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif -%}
"""

_MISTRAL = """\
{{- bos_token }}
{%- set turns = namespace(system='', count=0) %}
{%- for message in messages %}
{%- if message.role == 'system' and loop.first %}
{%- set turns.system = message.content ~ '\\n\\n' %}
{%- elif message.role != ('user', 'assistant')[turns.count % 2] %}
{{- raise_exception('after an optional system message, user and assistant must take turns') }}
{%- else %}
{%- if message.role == 'user' -%}
{{ ' [INST] ' ~ turns.system ~ message.content ~ ' [/INST]' }}
{%- set turns.system = '' %}
{%- else -%}
{{ ' ' ~ message.content ~ eos_token }}
{%- endif %}
{%- set turns.count = turns.count + 1 %}
{%- endif %}
{%- endfor -%}
"""

_EXAONE = """\
{%- if messages and messages[0].role != 'system' %}{{ '[|system|][|endofturn|]\\n' }}{% endif %}
{%- for message in messages -%}
{{ '[|' ~ message.role ~ '|]' ~ message.content }}
{{- '\\n' if message.role == 'user' else '[|endofturn|]\\n' }}
{%- endfor -%}
{%- if add_generation_prompt %}{{ '[|assistant|]' }}{% endif -%}
"""

_ALPACA = """\
{%- set titles = {'user': 'Instruction', 'user_context': 'Input', 'assistant': 'Response'} %}
{%- for message in messages -%}
{{ '\\n\\n' if not loop.first }}
{%- if message.role in titles %}{{ '### ' ~ titles[message.role] ~ ':\\n' }}{% endif %}
{{- message.content | trim }}
{%- endfor -%}
{%- if add_generation_prompt %}{{ '\\n\\n### Response:\\n' }}{% endif -%}
"""

KNOWN = {
    "alpaca": _ALPACA,
    "chatml": _CHATML,
    "exaone": _EXAONE,
    "llama3": _LLAMA3,
    "mistral": _MISTRAL,
}
"""Templates by name, as Jinja text."""


def choose(setting: str, templates: Iterable[str | None]) -> str | None:
    """Return the Jinja text for a recipe's ``chat_template``.

    The setting is ``auto`` (the inputs' most common template, the first of equally common ones), a
    name in `KNOWN`, or Jinja text.

    Returns:
        The text; None if ``auto`` finds no input with a template.

    Raises:
        SpecError: the setting is none of these, or not valid Jinja.
    """
    if setting == AUTO:
        found = [text for text in templates if text]
        return Counter(found).most_common(1)[0][0] if found else None
    if setting in KNOWN:
        return KNOWN[setting]
    if "{" not in setting:
        raise SpecError(
            f"chat_template: {setting!r} is neither Jinja text nor a known name; "
            f"known: {AUTO}, {', '.join(KNOWN)}."
        )
    _check(setting)
    return setting


def _check(text: str) -> None:
    from jinja2 import Environment, TemplateSyntaxError
    from jinja2.ext import Extension
    from jinja2.nodes import Node
    from jinja2.parser import Parser

    class Generation(Extension):
        """transformers' tag around the assistant's turn."""

        tags = {"generation"}  # noqa: RUF012 - as jinja2 declares it

        def parse(self, parser: Parser) -> list[Node]:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    extensions: list[str | type[Extension]] = ["jinja2.ext.loopcontrols", Generation]
    try:
        Environment(extensions=extensions, autoescape=True).parse(text)
    except TemplateSyntaxError as error:
        raise SpecError(
            f"chat_template: not valid Jinja, line {error.lineno}: {error.message}."
        ) from error
    except RecursionError:
        raise SpecError("chat_template: not valid Jinja: nested too deeply.") from None


def template_of(model: Checkpoint) -> str | None:
    """Return a model's chat template, an adapter's before its model's."""
    return next(filter(None, map(stored_template, reversed(model.folders))), None)


def template_of_adapter(model: Checkpoint) -> str | None:
    """Return a model's chat template if its adapter changes it."""
    if len(model.folders) == 1:
        return None
    template = template_of(model)
    return template if template != stored_template(model.path) else None


def stored_template(folder: Path) -> str | None:
    """Return a folder's chat template without surrounding whitespace; None if there is none.

    Of several named templates it is ``default``.
    """
    if (folder / FILE).is_file():
        try:
            return (folder / FILE).read_text(encoding="utf-8").strip() or None
        except (OSError, UnicodeDecodeError) as error:
            raise ModelError(f"{folder / FILE}: cannot be read as UTF-8 text ({error}).") from error
    for file in (folder / _OLDER, folder / _SETTINGS):
        settings: Any = read_json(file) if file.is_file() else None
        template = settings.get("chat_template") if isinstance(settings, dict) else None
        if isinstance(template, list):
            named = [entry for entry in template if isinstance(entry, dict)]
            template = {entry.get("name"): entry.get("template") for entry in named}
        if isinstance(template, dict):
            template = template.get("default")
        if isinstance(template, str) and template.strip():
            return template.strip()
    return None


def write_template(text: str, folder: Path) -> None:
    """Write a chat template into a model folder, removing older forms of it."""
    write_text(folder / FILE, text)
    (folder / _OLDER).unlink(missing_ok=True)
    settings: Any = read_json(folder / _SETTINGS) if (folder / _SETTINGS).is_file() else None
    if isinstance(settings, dict) and "chat_template" in settings:
        del settings["chat_template"]
        write_json(folder / _SETTINGS, settings)
