"""Where in a SLURM cluster steps run; light, and no part of any step's identity."""

from typing import Any, Literal

from pydantic import Field

from mixmerge.execution.step import Needs
from mixmerge.spec_model import SpecModel


class SlurmSpec(SpecModel):
    """What the SLURM engine asks of the cluster beside each step's cores and devices."""

    partition: str | None = None
    """Left out: the cluster's default."""
    account: str | None = None
    """Who pays."""
    minutes: int = Field(default=24 * 60, ge=1)
    """Most time of one job. A training that needs more is queued again and goes on."""
    requeues: int = Field(default=10, ge=0)
    """How often a job whose time was over is queued again."""
    memory_gb: float | None = Field(default=None, gt=0)
    """Memory of each node. Left out: the cluster's default."""
    gpus: int | None = Field(default=None, ge=0)
    """Most GPUs to ask of a node; 0 where the cluster has none."""
    at_once: int = Field(default=256, ge=1)
    """Most jobs of one array at the same time."""
    setup: tuple[str, ...] = ()
    """Shell commands before each step, for example ``module load cuda``."""
    sbatch: dict[str, str | int | bool] = {}
    """Any other option of ``sbatch``, for example ``{constraint: a100}``."""
    cluster: Literal["slurm", "local"] = "slurm"
    """``local`` runs the jobs as processes of this machine, to try everything without SLURM."""

    def parameters(self, needs: Needs) -> dict[str, Any]:
        """Return the parameters of submitit's executor for a step.

        One node: one task with all cores and devices; a training starts torchrun in it. Several
        nodes: one task for each process, without torchrun.
        """
        gpus = needs.gpus if self.gpus is None else min(needs.gpus, self.gpus)
        per_node = needs.processes if needs.nodes > 1 else 1
        asked: dict[str, Any] = {"timeout_min": self.minutes, "name": "mixmerge"}
        if self.cluster == "local":
            # One machine stands for all nodes.
            return asked | {"tasks_per_node": per_node * needs.nodes, "gpus_per_node": gpus}
        asked |= {
            "nodes": needs.nodes,
            "tasks_per_node": per_node,
            "cpus_per_task": max(1, needs.cpus // per_node),
            "mem_gb": self.memory_gb,
            "slurm_partition": self.partition,
            "slurm_account": self.account,
            "gpus_per_node": gpus or None,
            "slurm_setup": list(self.setup) or None,
            "slurm_additional_parameters": self.sbatch or None,
            "slurm_array_parallelism": self.at_once,
            "slurm_srun_args": ["--kill-on-bad-exit=1"],
        }
        return {name: value for name, value in asked.items() if value is not None}
