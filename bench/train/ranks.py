"""The processes that train a cell on several GPUs: this one's place among them, and what they do together.

Rank 0 leads: it measures, decides and writes. The others do what it does, when it does it, by the orders that it sends
them through a pipe (bench/train/orders.py), so that no decision rests on a clock that runs differently in each. Writing
an order into a pipe waits for nobody.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ampbench.bench.train.orders import Message
from ampbench.bench.train.precision.islands import islands_of, restore_islands
from ampbench.bench.train.statuses import Unsupported

SEED_STRIDE = 1 << 32
"""Between the seeds of two ranks, beyond any seed that a person writes down."""

ECHO_S = 5.0
"""A rank that fails waits so long before it says so, since it may only have lost another one: whoever starts the ranks
sees the death of that one first, and ends this one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranks:
    """This process among those that share each batch of a cell. Alone, all of it does nothing."""

    rank: int = 0
    world_size: int = 1
    followers: tuple[Connection, ...] = ()
    """The pipes into which rank 0 writes its orders; empty in the others, and in a process that is alone."""

    def tell(self, message: Message) -> None:
        """Let the other ranks do the same."""
        for follower in self.followers:
            follower.send(message)

    def own_seed(self, seed: int) -> int:
        """Return the seed of what is drawn differently on each rank: augmentation and dropout."""
        return seed + self.rank * SEED_STRIDE

    def wrapped(self, model: nn.Module, device: torch.device, *, sync_batchnorm: bool) -> nn.Module:
        """Return what the step calls: the model, its gradients averaged over the ranks during backward.

        Li et al., 2020, "PyTorch Distributed", section 3.2. The weights of rank 0 become those of all.

        Raises:
            Unsupported: BatchNorm cannot be synchronised on this device.
        """
        if self.world_size == 1:
            return model
        if sync_batchnorm:
            if device.type != "cuda":
                raise Unsupported(f"sync_batchnorm: torch {torch.__version__} synchronises BatchNorm on GPUs only")
            kept = islands_of(model)
            model = restore_islands(nn.SyncBatchNorm.convert_sync_batchnorm(model), kept)
        return DistributedDataParallel(model, device_ids=[device] if device.type == "cuda" else None)

    def add_up(self, counts: Iterable[Tensor]) -> None:
        """Replace each tensor by its sum over the ranks."""
        if self.world_size > 1:
            for count in counts:
                dist.all_reduce(count)

    def share_buffers(self, model: nn.Module) -> None:
        """Give all ranks the buffers of rank 0: after a step each has running statistics of its own images."""
        if self.world_size > 1:
            for buffer in model.buffers():
                dist.broadcast(buffer, src=0)

    def gather(self, own: Any) -> list[Any]:
        """Return what each rank has, in their order."""
        if self.world_size == 1:
            return [own]
        everyone: list[Any] = [None] * self.world_size
        dist.all_gather_object(everyone, own)
        return everyone

    def from_first(self, state: Any) -> Any:
        """Return what rank 0 has; what the others pass does not count."""
        if self.world_size == 1:
            return state
        carried = [state]
        dist.broadcast_object_list(carried, src=0)
        return carried[0]


ALONE = Ranks()
