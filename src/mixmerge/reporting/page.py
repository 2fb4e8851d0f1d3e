"""Parts of every HTML page: templates, styles and scripts inside the file, and nothing else.

The template engine escapes all text by models, judges and users. As a second defence, a page's
content security policy forbids all requests, and all scripts but its own.
"""

import base64
import hashlib
from importlib import resources

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from mixmerge.reporting.cells import Table, to_csv


def environment(package: str = "mixmerge.reporting") -> Environment:
    """Return the template engine of the pages; templates of ``package`` come before our own."""
    engine = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("mixmerge.reporting")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # A page with a place for each model replaces `anchor`, and names in tables become links.
    engine.filters |= {"csv_link": csv_link, "names": _with_names, "anchor": lambda _: None}
    return engine


def csv_link(table: Table) -> str:
    """Return a data URL of the table as CSV, so that the page needs no other file."""
    content = base64.b64encode(to_csv(table).encode()).decode()
    return f"data:text/csv;charset=utf-8;base64,{content}"


def _with_names(sentence: str) -> Markup:
    """Format text between backticks as code."""
    parts = [escape(part) for part in sentence.split("`")]
    code = [Markup("<code>{}</code>").format(p) if n % 2 else p for n, p in enumerate(parts)]
    return Markup().join(code)


def inside(*scripts: str) -> dict[str, Markup | str]:
    """Return what a page's head and end need: ``script``, its hash for the policy, and ``sheet``.

    The arguments are names in ``static``: scripts and style sheets, joined in this order.
    """
    static = resources.files("mixmerge.reporting").joinpath("static")
    texts = {name: static.joinpath(name).read_text("utf-8") for name in scripts}
    script = "\n".join(text for name, text in texts.items() if name.endswith(".js"))
    sheet = "\n".join(text for name, text in texts.items() if name.endswith(".css"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return {
        "script": Markup(script),  # noqa: S704 (our own file)
        "script_hash": f"sha256-{digest}",
        "sheet": Markup(sheet),  # noqa: S704 (our own file)
    }
