"""The Ray engine: light steps are tasks, trainings use a placement group or span several nodes.

A training on one node starts torchrun inside its placement group. Such groups, and the actors that
hold them, outlive the driver and are found again by the name in the step's folder; tasks end with
the driver. The run folder must be on storage that all nodes share.
"""

import os
import socket
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixmerge.errors import ResourceError
from mixmerge.execution.child import STEP_COMMAND, child_command, run_child, wait_for
from mixmerge.execution.engine import HELPERS, LOST, EngineSpec
from mixmerge.execution.environment import CORES, GPUS
from mixmerge.execution.step import Needs
from mixmerge.execution.store import FAILURE, JOB, LOG
from mixmerge.files import read_object, write_json
from mixmerge.fingerprint import fingerprint

_NAMESPACE = "mixmerge"
_STOPPED = -15
_PATIENCE_SECONDS = 30.0
_KNOCK_SECONDS = 10.0


@dataclass(eq=False)
class _Started:
    folder: Path
    result: Any
    """Ray's reference to the exit code."""
    group: str | None = None
    """Name of the actor and its placement group."""


class RayEngine:
    """Runs steps on a Ray cluster: at ``RAY_ADDRESS``, or a new one of ``cpus`` cores here.

    The exit code of a training is kept for ``keep_seconds`` for the next driver.

    Raises:
        ResourceError: there is no cluster at ``RAY_ADDRESS``.
    """

    def __init__(self, cpus: int, command: Sequence[str] = STEP_COMMAND) -> None:
        # Our own cluster sends no usage statistics.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        import ray

        self.keep_seconds = 60.0
        self._ray = ray
        self._command = tuple(command)
        connect(cpus)
        # Steps may ask for helpers on the cluster that they run on.
        self._environment = {HELPERS: "ray", "RAY_ADDRESS": ray.get_runtime_context().gcs_address}
        nodes = [node["Resources"] for node in ray.nodes()]
        self._nodes = [(node.get("CPU", 0), node.get("GPU", 0)) for node in nodes]
        """Cores and GPUs of each."""

    def room_for(self, needs: Needs) -> int:  # noqa: ARG002 - the interface's
        """Return 1: Ray queues steps until their resources are free."""
        return 1

    def start(self, folder: Path, needs: Needs) -> _Started:
        """Start a step, or find the one that an earlier driver started."""
        folder = folder.absolute()
        asked = self._resources(needs)
        if needs.nodes > 1:
            work = self._ray.remote(num_cpus=0, max_retries=0)(train_on_nodes)
            return _Started(folder, work.remote(self._command, str(folder), needs, asked))
        if asked["num_cpus"] > 1 or asked["num_gpus"] > 1:
            return self._start_group(folder, asked)
        work = self._ray.remote(max_retries=0, **asked)(run_child)
        return _Started(folder, work.remote(self._command, str(folder), self._variables(asked)))

    def poll(self, handle: _Started) -> int | None:
        """Return the exit code of a step that ended, or None while it runs."""
        ready, _ = self._ray.wait([handle.result], timeout=0)
        if not ready:
            return None
        code = self._code(handle)
        self._release(handle)
        return code

    def stop(self, handle: _Started) -> None:
        """Cancel a step and wait until it is gone."""
        if handle.group is None:
            self._ray.cancel(handle.result)
            self._ray.wait([handle.result], timeout=_PATIENCE_SECONDS)
        self._release(handle)

    def close(self) -> None:
        """Leave the cluster; one that was started here ends."""
        self._ray.shutdown()

    def _resources(self, needs: Needs) -> dict[str, float]:
        # A step that needs more than any node has gets a whole node; Ray would queue it forever.
        # A cluster without cores is one whose nodes have not started yet.
        gpus = min(needs.gpus, max(gpus for _, gpus in self._nodes))
        most = max(cpus for cpus, there in self._nodes if there >= gpus)
        return {"num_cpus": min(needs.cpus, most or needs.cpus), "num_gpus": gpus}

    def _variables(self, asked: Mapping[str, float]) -> dict[str, str]:
        given = {CORES: str(int(asked["num_cpus"])), GPUS: str(int(asked["num_gpus"]))}
        return {**self._environment, **given}

    def _start_group(self, folder: Path, asked: dict[str, float]) -> _Started:
        from ray.util.placement_group import placement_group
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        name = f"step-{fingerprint(str(folder))[:16]}"
        with suppress(ValueError):  # there is no actor of that name
            known = self._ray.get_actor(name, namespace=_NAMESPACE)
            if read_object(folder / JOB) == {"job": name}:
                return _Started(folder, known.wait.remote(), name)
        self._drop(name)
        bundle = _more_than_none(CPU=asked["num_cpus"], GPU=asked["num_gpus"])
        group = placement_group([bundle], "STRICT_PACK", name=name, lifetime="detached")
        place = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=0)
        actor = self._ray.remote(
            name=name, lifetime="detached", scheduling_strategy=place, **asked
        )(Holder).remote(self.keep_seconds)
        write_json(folder / JOB, {"job": name})
        return _Started(
            folder, actor.run.remote(self._command, str(folder), self._variables(asked)), name
        )

    def _code(self, handle: _Started) -> int:
        """Return a step's exit code; `LOST` if Ray lost the process or the node."""
        from ray import exceptions

        try:
            return int(self._ray.get(handle.result))
        except exceptions.TaskCancelledError:
            return _STOPPED
        except exceptions.RayTaskError as error:
            with (handle.folder / LOG).open("a", encoding="utf-8") as log:
                log.write(f"{error}\n")
            return 1
        except exceptions.RayError:
            return LOST

    def _release(self, handle: _Started) -> None:
        if handle.group is not None:
            self._drop(handle.group)
            (handle.folder / JOB).unlink(missing_ok=True)

    def _drop(self, name: str) -> None:
        """Kill an actor and release its placement group, if they exist."""
        from ray.util.placement_group import get_placement_group, remove_placement_group

        with suppress(ValueError):
            self._ray.kill(self._ray.get_actor(name, namespace=_NAMESPACE))
        with suppress(ValueError):
            remove_placement_group(get_placement_group(name))


def _more_than_none(**resources: float) -> dict[str, float]:
    return {kind: amount for kind, amount in resources.items() if amount}


class Holder:
    """An actor that runs one step in its placement group and keeps the exit code."""

    def __init__(self, keep_seconds: float) -> None:
        self._code: int | None = None
        self._keep_seconds = keep_seconds

    def run(self, command: Sequence[str], folder: str, environment: Mapping[str, str]) -> int:
        """Run the step and return its exit code."""
        from ray.util import get_current_placement_group, remove_placement_group

        group = get_current_placement_group()

        def leave() -> None:
            remove_placement_group(group)
            os._exit(0)

        self._code = run_child(command, folder, environment)
        # A living driver reads the code and kills this actor; otherwise it must end itself.
        threading.Timer(self._keep_seconds, leave).start()
        return self._code

    def wait(self) -> int:
        """Return the exit code; the actor's queue runs this after `run`."""
        return LOST if self._code is None else self._code


def connect(cpus: int) -> None:
    """Join the cluster at ``RAY_ADDRESS``, or start one on this machine.

    Raises:
        ResourceError: there is no cluster at that address.
    """
    import ray

    address = os.environ.get("RAY_ADDRESS")
    how: dict[str, Any] = {"address": address}
    if not address:
        # "local": never join another cluster on this machine.
        how = {"address": "local", "num_cpus": cpus, "include_dashboard": False}
    host, _, port = (address or "").rpartition(":")
    try:
        if port.isdigit() and "/" not in host:
            # Try the port first: Ray itself would wait for two minutes.
            socket.create_connection((host, int(port)), timeout=_KNOCK_SECONDS).close()
        ray.init(namespace=_NAMESPACE, log_to_driver=False, logging_level="ERROR", **how)
    except OSError as error:
        raise ResourceError(
            f"RAY_ADDRESS is {address}: no Ray cluster answers there ({error}). Start one with "
            "`ray start --head`, set RAY_AUTH_MODE=token if it asks for a token, or unset "
            "RAY_ADDRESS to use this machine alone."
        ) from error


def train_on_nodes(
    command: Sequence[str], folder: str, needs: Needs, asked: dict[str, float]
) -> int:
    """Run a step as one process per device of several nodes, through Ray Train.

    Ray Train places the workers, connects them, and ends all if one fails; the step itself runs in
    a child process of each worker.
    """
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    gpus = asked["num_gpus"] / needs.processes
    each = _more_than_none(CPU=max(1.0, asked["num_cpus"] // needs.processes), GPU=gpus)
    trainer = TorchTrainer(
        rank,
        train_loop_config={
            "command": list(command),
            "folder": folder,
            "gpus": int(asked["num_gpus"]) * needs.nodes,
        },
        # Only for Ray's rendezvous; the step creates its own process group.
        torch_config=TorchConfig(backend="gloo"),
        scaling_config=ScalingConfig(
            num_workers=needs.nodes * needs.processes, use_gpu=gpus > 0, resources_per_worker=each
        ),
        run_config=RunConfig(
            name=Path(folder).name,
            storage_path=str(Path(folder).parents[1] / "cache" / "ray"),
            failure_config=FailureConfig(max_failures=0),
        ),
    )
    try:
        trainer.fit()
    except Exception:  # noqa: BLE001 - Ray Train wraps every reason in classes of its own
        return 1 if Path(folder, FAILURE).exists() else LOST
    return 0


def rank(config: dict[str, Any]) -> None:
    """Run the step as one rank, in a child process with a port of its own."""
    import torch.distributed as dist

    ports = [0]
    if dist.get_rank() == 0:
        with socket.socket() as free:
            free.bind(("", 0))
            ports = [free.getsockname()[1]]
    dist.broadcast_object_list(ports)
    environment = {"MASTER_PORT": str(ports[0]), GPUS: str(config["gpus"])}
    code = run_child(config["command"], config["folder"], environment, rank=True)
    if code:
        raise RuntimeError(f"the step ended with exit code {code}")


class RayHelpers:
    """Helpers on the cluster at ``RAY_ADDRESS``, or one here, joined when they start."""

    def __init__(self, cpus: int) -> None:
        import ray

        self._ray, self._cpus = ray, cpus
        self._tasks: list[Any] = []

    def start(self, command: Sequence[str], count: int) -> None:
        """Request ``count`` tasks from Ray."""
        connect(self._cpus)
        help_out = self._ray.remote(max_retries=0, num_cpus=1)(run_helper)
        self._tasks = [help_out.remote([*command, str(number)]) for number in range(count)]

    def ended(self, number: int) -> bool:
        """Whether a task has ended: with its work done, with an error, or lost."""
        ready, _ = self._ray.wait([self._tasks[number]], timeout=0)
        return bool(ready)

    def stop(self) -> None:
        """Cancel all unfinished tasks, and leave the cluster."""
        for task in self._tasks:
            self._ray.cancel(task)
        self._ray.wait(self._tasks, num_returns=len(self._tasks), timeout=10)
        self._ray.shutdown()


def run_helper(command: Sequence[str]) -> int:
    """Run a helper in a child process, which ends with the worker of this task."""
    return wait_for(subprocess.Popen(child_command(command), stdin=subprocess.DEVNULL))


class RaySpec(EngineSpec):
    """The cluster at ``RAY_ADDRESS``, or one that is started on this machine."""

    def requires(self) -> tuple[str, ...]:
        """Return the package of the cluster."""
        return ("ray",)

    def build(self, entry: str, *, cpus: int, preload: Sequence[str]) -> RayEngine:  # noqa: ARG002
        """Return an engine whose tasks run ``mixmerge step``."""
        return RayEngine(cpus)

    def helpers(self) -> RayHelpers:
        """Return helpers on the cluster."""
        return RayHelpers(os.cpu_count() or 1)
