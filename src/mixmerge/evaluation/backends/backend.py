"""What every backend is: a model that answers prompts, some at a time."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from mixmerge.evaluation.spec import DecodingSpec
from mixmerge.progress import Progress, silent
from mixmerge.records import Prompt, Response


class Backend(Protocol):
    """One model, ready to answer. Decoding is the caller's, never the model folder's own."""

    @property
    def stamp(self) -> Any:
        """Plain data that tells one model and backend from another, for a journal of answers."""

    def answers(
        self,
        prompts: Sequence[Prompt],
        decoding: DecodingSpec,
        missing: frozenset[str],
        progress: Progress = silent,
    ) -> Iterator[list[Response]]:
        """Yield answers, some at a time, as they are made.

        Args:
            prompts: all prompts of a set, also those that are answered already: whoever answers
                in batches makes the same batches again after an interruption.
            decoding: how answers are decoded.
            missing: ids of the prompts that need an answer; others may be answered too.
            progress: hears what happens before the first answer is yielded.

        Raises:
            DataError: a prompt does not fit into the model's context; the message names it.
            ModelError: the model cannot be loaded.
            ResourceError: the backend is not installed, or an endpoint fails.
        """

    def close(self) -> None:
        """Give memory back."""
