"""What a person judged: verdicts belong to answers, not to the names of models."""

from mixmerge.errors import DataError
from mixmerge.records.row import RowModel


class SeenAnswers(RowModel):
    """The texts that a person saw, where the tool that they worked in kept them."""

    answer: str | None = None
    """The model's; None: not kept."""
    base_answer: str | None = None
    """The base model's, in a comparison; None: not kept."""

    def require(self, where: str, answer: str, base_answer: str | None) -> None:
        """Check that the model answers what the person saw.

        Args:
            where: the row, for the message.
            answer: what the model answers now.
            base_answer: what the base model answers now; None: nobody compares with it.

        Raises:
            DataError: a text was kept, and it is another one.
        """
        for whose, seen, now in (
            ("model", self.answer, answer),
            ("base model", self.base_answer, base_answer),
        ):
            if seen is not None and now is not None and seen != now:
                raise DataError(
                    f"{where}: given for another answer of the {whose}. Seen by the person: "
                    f"{_short(seen)}; the {whose} answers: {_short(now)}. After new answers, ask "
                    "people again, or take these rows out."
                )


def _short(text: str, most: int = 60) -> str:
    return repr(text if len(text) <= most else text[: most - 1] + "…")
