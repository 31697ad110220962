"""Everything that the next step of a training depends on: written to a checkpoint, taken back, or kept in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from ampbench.bench.train.batches import Batches
from ampbench.bench.train.ema import Ema, NoEma
from ampbench.bench.train.hits import Hits
from ampbench.bench.train.loss.criterion import Criterion
from ampbench.bench.train.precision.master_weights import MasterWeights
from ampbench.bench.train.precision.scaler import Scaler
from ampbench.bench.train.ranks import Ranks
from ampbench.bench.train.state.model_state import load_model_state, model_state
from ampbench.bench.train.state.random_state import read_generators, rewind_generators
from ampbench.bench.train.state.savepoint import Savepoint


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingState:
    """The parts of a training, on this rank, that change as it trains."""

    model: nn.Module
    criterion: Criterion
    optimizer: Optimizer
    master: MasterWeights | None
    scaler: Scaler
    ema: Ema | NoEma
    batches: Batches
    hits: Hits
    device: torch.device

    def state_dict(self, ranks: Ranks) -> dict[str, Any]:
        """Return everything that the next epoch depends on; the tensors are the live ones.

        Weights and optimizer are the same on all ranks, the random states are not: there is one set for each. The
        optimizer's state has the dtype of what it updates, so nothing in it is cast on the way back
        (`Optimizer.load_state_dict` casts to the dtype of the parameter): fp32 copies are an entry of their own.
        """
        return {
            "model": model_state(self.model),
            "optimizer": self.optimizer.state_dict(),
            "master": self.master.state_dict() if self.master else None,
            "scaler": self.scaler.state_dict(),
            "ema": self.ema.state_dict(),
            "random": ranks.gather(read_generators(self.device) | self.batches.state_dict()),
        }

    def load_state_dict(self, state: dict[str, Any], rank: int) -> None:
        """Take a state back on this rank. From here on every loss and weight is what it would have been."""
        load_model_state(self.model, state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.master:
            self.master.load_state_dict(state["master"])
        self.scaler.load_state_dict(state["scaler"])
        self.ema.load_state_dict(state["ema"])
        own = state["random"][rank]
        self.batches.load_state_dict(own)
        rewind_generators(own, self.device)

    def savepoint(self) -> Savepoint:
        """Keep all of it in memory, to roll back to once something else was done with the training.

        Raises:
            CannotRollBackError: the model holds what cannot be put back.
        """
        self.optimizer.zero_grad(set_to_none=True)  # as the next step begins
        roots = {"model": self.model, "loss": self.criterion, "optimizer": self.optimizer, "master": self.master}
        roots |= {"scaler": self.scaler, "ema": self.ema, "hits": self.hits}
        return Savepoint(roots | self.batches.generators, self.device)
