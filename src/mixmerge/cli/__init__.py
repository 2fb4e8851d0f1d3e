"""The command line: each command a thin layer over the function of its name."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperOption

Seed = Annotated[
    int | None, typer.Option(min=0, max=2**32 - 1, help="Instead of the study file's seed.")
]
"""An option that every command of a study has."""

RunFolder = Annotated[Path | None, typer.Option(help="The run folder; by default runs/<study>.")]
AllowPickle = Annotated[
    bool,
    typer.Option("--allow-pickle", help="Also read .bin and .pt weights (data only, no code)."),
]


class WithEngines(TyperCommand):
    """A command whose help names the engines, which are imported only for that.

    In the help of an option ``{engines}`` stands for all of them, ``{helpers}`` for ``local`` and
    those that lend processes to one step.
    """

    def format_help(self, *args: Any, **kwargs: Any) -> None:
        """Write the help with the names in it."""
        from mixmerge.execution.engine import EngineSpec
        from mixmerge.execution.engines import ENGINES

        helpers = (n for n, spec in ENGINES.items() if spec.helpers is not EngineSpec.helpers)
        names = {"engines": ", ".join(ENGINES), "helpers": ", ".join(["local", *helpers])}
        for option in self.params:
            if isinstance(option, TyperOption) and option.name == "engine" and option.help:
                option.help = option.help.format(**names)
            if isinstance(option, TyperOption) and option.is_flag:
                option.metavar = " "  # it takes no value: `<bool>` would say it does
        super().format_help(*args, **kwargs)
