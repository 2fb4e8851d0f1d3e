"""Trainers whose model answers the prompts itself during the training.

Their rows are prompts (`Encoder.prompts`). TRL's trainers of this kind write the answers of a whole
optimizer step at once, before any of them is trained on.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from mixmerge.training.trl_compat import replaced

TEACHER = "teacher_tokens/"
"""What the names begin with under which a trainer logs the tokens that a source's teacher read."""


def arguments(common: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of an online trainer from those of every trainer."""
    # Prompt and answer together fit `max_length` already; the rows are in order. Dropout would
    # change the answers, and their probabilities, with the number of processes.
    own = {name: value for name, value in common.items() if name != "max_length"}
    return own | {"shuffle_dataset": False, "disable_dropout": True}


def answering(trainer: type[Any]) -> type[Any]:
    """Return one of TRL's online trainer classes that reads encoded prompts.

    The sampled tokens depend on seed, step, and the row's place in its step, and not on how a step
    is split over passes and processes, nor on where the training was resumed. The class takes the
    tokens that end an answer as ``stops``, and logs ``generated_tokens`` and ``unfinished_answers``
    of each step.
    """

    class Answering(trainer):
        def __init__(self, *, stops: Sequence[int], **given: Any) -> None:
            super().__init__(**given)
            self.eos_token_ids: list[int] = [*stops]
            # The noise of `_sampled` takes the place of sampling.
            self.generation_config.update(eos_token_id=self.eos_token_ids, do_sample=False)

        def _tokenize_prompts(self, prompts: list[list[int]]) -> tuple[Any, None, dict[str, Any]]:
            return prompts, None, {}

        def _generate_single_turn(self, prompt_ids: Any, *args: Any, **given: Any) -> Any:
            rows = len(prompt_ids)
            return self._written(range(rows), rows, prompt_ids, *args, **given)

        def _written(
            self, own: Sequence[int], rows: int, prompt_ids: Any, *args: Any, **given: Any
        ) -> Any:
            """Answer some of this process's ``rows``; ``own`` are their places among them."""
            model = self.accelerator.unwrap_model(self.model_wrapped)
            first = rows * self.accelerator.process_index
            noise = _sampled(
                seed=(self.args.seed, self.state.global_step),
                rows=rows * self.accelerator.num_processes,
                own=[first + place for place in own],
                temperature=self.temperature,
            )
            with replaced(model, "generate", partial(model.generate, logits_processor=[noise])):
                return super()._generate_single_turn(prompt_ids, *args, **given)

        def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
            asked = [{**row, "prompt": row["prompt_ids"]} for row in inputs]
            output: dict[str, Any] = super()._generate_and_score_completions(asked)
            ids, length = output["completion_ids"], output["completion_mask"].sum(1, keepdim=True)
            # A truncated answer may be masked out; it reached the limit, so nothing is longer.
            length = length.masked_fill(length == 0, ids.shape[1])
            last = ids.gather(1, length - 1)[:, 0]
            ended = sum((last == stop).long() for stop in self.eos_token_ids)
            for name, count in (
                ("generated_tokens", length.sum()),
                ("unfinished_answers", (1 - ended).sum()),
            ):
                total = self.accelerator.gather(count).sum().item()
                self._metrics["train"][name].append(total)
            return output

    return Answering


def _sampled(*, seed: tuple[int, int], rows: int, own: Sequence[int], temperature: float) -> Any:
    """Return a logits processor that adds Gumbel noise to the logits of the next token.

    The most likely token is then a sample from the softmax (Gumbel 1954; Maddison et al. 2014,
    arXiv:1411.0030, section 2). The noise of all ``rows`` of a step is drawn, and that of the
    ``own`` ones is used.
    """
    import torch
    from transformers import LogitsProcessor

    number = int(np.random.SeedSequence(seed).generate_state(1)[0])
    generators: dict[Any, Any] = {}

    # A plain function would do, but for each token transformers asks for the signature of its
    # `__call__`, which takes as long as the noise.
    class Noise(LogitsProcessor):
        def __call__(self, _ids: Any, logits: Any) -> Any:
            device = logits.device
            if device not in generators:
                generators[device] = torch.Generator(device).manual_seed(number)
            drawn = torch.empty(rows, logits.shape[1], dtype=logits.dtype, device=device)
            drawn = drawn.exponential_(generator=generators[device])[own]
            return logits / temperature - drawn.log()

    return Noise()
