"""The command line: each command is a thin layer over the function of the same name."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperOption

Seed = Annotated[
    int | None, typer.Option(min=0, max=2**32 - 1, help="Overrides the study file's seed.")
]
"""Option of every command that takes a study."""

RunFolder = Annotated[Path | None, typer.Option(help="The run folder; by default runs/<study>.")]
AllowPickle = Annotated[
    bool,
    typer.Option("--allow-pickle", help="Also read .bin and .pt weights (data only, no code)."),
]


class WithEngines(TyperCommand):
    """A command whose help lists the engines, which are imported only for the help.

    In an option's help, ``{engines}`` becomes the names of all engines, and ``{helpers}`` those
    that can run one step in several processes.
    """

    def format_help(self, *args: Any, **kwargs: Any) -> None:
        """Fill in the names and write the help."""
        from mixmerge.execution.engine import EngineSpec
        from mixmerge.execution.engines import ENGINES

        helpers = (n for n, spec in ENGINES.items() if spec.helpers is not EngineSpec.helpers)
        names = {"engines": ", ".join(ENGINES), "helpers": ", ".join(["local", *helpers])}
        for option in self.params:
            if isinstance(option, TyperOption) and option.name == "engine" and option.help:
                option.help = option.help.format(**names)
            if isinstance(option, TyperOption) and option.is_flag:
                option.metavar = " "  # a flag takes no value, but click shows `<bool>`
        super().format_help(*args, **kwargs)
