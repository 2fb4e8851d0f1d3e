"""On-policy distillation: the model's own answers, each scored by the teacher of its source."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from mixmerge.records import Conversation, ModelFolder
from mixmerge.training.encode import Encoder
from mixmerge.training.objectives.objective import Objective, Settings
from mixmerge.training.online import TEACHER, answering, arguments
from mixmerge.training.teachers import load_teachers, on_device
from mixmerge.training.trl_compat import replaced


class DistilSettings(Settings):
    """The settings of distillation."""

    beta: float = Field(default=1.0, ge=0, le=1)
    """Distillation: 1 is the reverse KL(student || teacher), 0 the forward KL(teacher || student),
    and between them the generalised Jensen-Shannon divergence."""
    temperature: float = Field(default=1.0, gt=0)
    """Distillation: of the answers, and of both distributions in the loss."""
    max_completion_length: int = Field(default=512, ge=1)
    """Distillation: the most tokens of an answer; longer ones are cut off there, and counted."""
    answers: Literal["student", "teacher"] = "student"
    """Distillation: who answers the prompts. ``student`` is on-policy; with ``teacher`` each row is
    answered by the teacher of its source."""
    balanced: bool = True
    """Distillation: in each step, all sources together weigh the same, however long the answers to
    their prompts are. False: each token weighs the same."""


def build(common: dict[str, Any], settings: DistilSettings) -> tuple[Any, type[Any]]:
    """Return TRL's configuration, and its trainer with a teacher for each source."""
    import torch
    from trl import DistillationConfig, DistillationTrainer

    class SeveralTeachers(answering(DistillationTrainer)):  # type: ignore[misc]
        def __init__(self, *, teachers: Mapping[str, ModelFolder], in_turn: bool, **given: Any):
            super().__init__(**given)
            self._sources = [*teachers]
            self._home = "cpu" if in_turn else self.accelerator.device
            self._teachers = load_teachers(teachers, self._home, bfloat16=self.args.bf16)

        def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
            places = [self._sources.index(row["source"]) for row in inputs]
            self._places = places
            output: dict[str, Any] = super()._generate_and_score_completions(inputs)
            written, read = (
                mask.sum(1)
                for mask in (
                    output["completion_mask"],
                    torch.cat([output["prompt_mask"], output["completion_mask"]], dim=1),
                )
            )
            teacher = output["teacher"] = torch.tensor(places, device=written.device)
            empty = torch.zeros(len(self._sources), dtype=written.dtype, device=written.device)
            each = self.accelerator.gather(empty.index_add(0, teacher, written)[None]).sum(0)
            taught = self.accelerator.gather(empty.index_add(0, teacher, read)[None]).sum(0)
            passes = 2 if settings.answers == "teacher" else 1  # it has read what it wrote
            self._metrics["train"] |= {
                TEACHER + source: [passes * tokens]
                for source, tokens in zip(self._sources, taught.tolist(), strict=True)
            }
            present = each > 0
            weight = each.sum() / (present.sum() * each.clamp(min=1))
            weight = weight if settings.balanced else torch.ones_like(weight)
            output["weight"] = weight.float()[teacher]
            return output

        def _generate_single_turn(self, prompt_ids: Any, *args: Any, **given: Any) -> Any:
            if settings.answers == "student":
                return super()._generate_single_turn(prompt_ids, *args, **given)
            written: dict[int, list[int]] = {}
            for place in sorted({*self._places}):
                own = [row for row, of in enumerate(self._places) if of == place]
                asked = [prompt_ids[row] for row in own]
                teacher = self._teachers[self._sources[place]]
                with (
                    on_device(teacher, self.accelerator.device, self._home),
                    replaced(self, "model_wrapped", teacher),
                ):
                    answers = self._written(own, len(prompt_ids), asked, *args, **given)
                written |= zip(own, answers, strict=True)
            return [written[row] for row in range(len(prompt_ids))]

        def _get_last_hidden_state(self, model: Any, *inputs: Any, **given: Any) -> Any:
            # The student reads all rows of a pass at once, and each teacher its own.
            if self._student is not None and model is not self.teacher_model:
                return self._student[self._rows]
            return super()._get_last_hidden_state(model, *inputs, **given)

        def _compute_loss(
            self, student: Any, inputs: dict[str, Any], count: Any
        ) -> tuple[Any, ...]:
            ids, mask = (
                torch.cat([inputs[f"prompt_{name}"], inputs[f"completion_{name}"]], dim=1)
                for name in ("ids", "mask")
            )
            self._student = None
            length = inputs["completion_ids"].size(1)
            self._student = self._get_last_hidden_state(student, ids, mask, length)
            found = []
            for place in inputs["teacher"].unique().tolist():
                self._rows = inputs["teacher"] == place
                rows = {
                    name: inputs[name][self._rows]
                    for name in ("prompt_ids", "prompt_mask", "completion_ids", "completion_mask")
                }
                self.teacher_model = self._teachers[self._sources[place]]
                with on_device(self.teacher_model, self.accelerator.device, self._home):
                    loss, *counts = super()._compute_loss(student, rows, count)
                found.append((loss * inputs["weight"][self._rows][0], *counts))
            self._student = None
            return tuple(sum(parts) for parts in zip(*found, strict=True))

    own = settings.model_dump(exclude={"balanced", "answers"})
    return DistillationConfig(**arguments(common), **own), SeveralTeachers


OBJECTIVE = Objective(
    name="distil",
    label="Distillation",
    paper="Agarwal et al. 2023, arXiv:2306.13649",
    rows=Conversation,
    encode=Encoder.prompts,
    build=build,
    settings=DistilSettings,
    defaults={"learning_rate": 1e-6},
    answer_length=lambda settings: int(settings.max_completion_length),
    teachers=True,
    writes=lambda settings: settings.answers == "student",
    relative_cost=4.0,
)
