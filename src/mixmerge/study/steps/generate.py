"""``generate/MODEL``: generate a model's answers to the prompts of every axis, each once."""

from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from typing import Any

from mixmerge.evaluation.generate_spec import GenerateSpec
from mixmerge.evaluation.spec import DecodingSpec, GeneratePlacement
from mixmerge.execution.step import Needs, Step, Task
from mixmerge.files import read_rows
from mixmerge.progress import Progress
from mixmerge.records import Prompt, Response, RowModel
from mixmerge.study.rounds import Round, rounds
from mixmerge.study.spec import Study, has_weights, model_step
from mixmerge.study.steps.kind import ROWS, StepKind, inputs_of, model_path, within_cores


class GenerateSettings(DecodingSpec):
    """Decoding settings, and whatever else changes the answers."""

    generate: dict[str, Any] = {}


class GenerateFacts(RowModel):
    """The number of answers and their finish reasons."""

    answers: int
    tokens: int
    finished: dict[str, int]
    """Number of answers by `Response.finish_reason`."""


class Generate(StepKind[GenerateSettings, GenerateFacts], kind="generate"):
    """Generates one model's answers to the prompts of every axis."""

    def plan(self, study: Study) -> Iterable[Step]:
        """Yield a step for each model of each round."""
        for each in rounds(study):
            for name in each.models if each.evaluate.judged else ():
                yield self._step(study, each, name)

    def _step(self, study: Study, asked: Round, name: str) -> Step:
        decoding = asked.evaluate.decoding
        if "seed" not in decoding.model_fields_set:
            decoding = decoding.model_copy(update={"seed": study.seed})
        if not decoding.chat_template:
            decoding = decoding.model_copy(update={"chat_template": study.chat_template})
        inputs = {"model": model_step(study, name)} if has_weights(study, name) else {}
        inputs |= {
            f"prompts:{axis}": f"prompts/{axis}{asked.suffix}"
            for axis in dict.fromkeys(map(asked.evaluate.answered, asked.evaluate.judged))
        }
        given = study.given().get(name)
        own = given.generate if given is not None and given.generate else asked.evaluate.generate
        spec = own.serving(name)
        settings = decoding.model_dump(mode="json")
        settings |= {"generate": spec.identity()} if spec.identity() else {}
        where = study.placement.generate
        placement = where.model_dump(mode="json")
        placement["generate"] = spec.model_dump(mode="json")
        needs = Needs(cpus=where.threads, gpus=spec.gpus, seconds=8)
        return Step(
            self.kind,
            f"{name}{asked.suffix}",
            settings,
            inputs,
            placement=placement,
            needs=needs,
            version=2,
        )

    def run(self, task: Task, settings: GenerateSettings, progress: Progress) -> GenerateFacts:
        """Generate the answers."""
        from pydantic import TypeAdapter

        from mixmerge.evaluation.backends.make import make_backend
        from mixmerge.evaluation.generate import generate

        placement = within_cores(task.placement)
        spec: GenerateSpec = TypeAdapter(GenerateSpec).validate_python(
            placement.pop("generate", {})
        )
        backend = make_backend(
            spec,
            model_path(task.inputs["model"]) if "model" in task.inputs else None,
            calls=task.cache / "generate" / f"{task.name}.jsonl",
            placement=GeneratePlacement(**placement),
        )
        decoding = DecodingSpec(**settings.model_dump(exclude={"generate"}))
        asked = {a: read_rows(f / ROWS, Prompt) for a, f in inputs_of(task, "prompts").items()}
        total = sum(map(len, asked.values()))
        answers: list[Response] = []
        with closing(backend):
            for axis, rows in asked.items():
                before = len(answers)
                answers += generate(
                    backend,
                    rows,
                    decoding,
                    task.folder / f"{axis}.jsonl",
                    progress=lambda done, _, what, at=before: progress(at + done, total, what),
                )
        reasons = Counter(answer.finish_reason for answer in answers)
        return GenerateFacts(
            answers=total,
            tokens=sum(answer.tokens for answer in answers),
            finished=dict(sorted(reasons.items())),
        )


KINDS = (Generate(),)
