"""One training, ready to step: its batches, its model and all that updates it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ampbench.bench.plan.cell import Cell
from ampbench.bench.train.augmentation.augment import normalize_of
from ampbench.bench.train.batches import Batches, refuse_large_batch
from ampbench.bench.train.clip import Clip, no_clip
from ampbench.bench.train.compiler import compiled
from ampbench.bench.train.ema import Ema, NoEma
from ampbench.bench.train.evaluation import OnProgress, evaluate, evaluation_batch_size, explained, ignore_progress
from ampbench.bench.train.hits import Hits
from ampbench.bench.train.images.images import Images
from ampbench.bench.train.loss.criterion import Criterion
from ampbench.bench.train.loss.loss import loss_of
from ampbench.bench.train.network import begin
from ampbench.bench.train.optimizer import updates_of
from ampbench.bench.train.orders import CountHits, Evaluate, GatherState, LoadState, OpenEpoch, TakeStep
from ampbench.bench.train.precision.precision import cast_model, set_up_precision
from ampbench.bench.train.precision.scaler import Scaler
from ampbench.bench.train.ranks import ALONE, Ranks
from ampbench.bench.train.schedule import learning_rate
from ampbench.bench.train.state.savepoint import Savepoint
from ampbench.bench.train.state.training_state import TrainingState
from ampbench.bench.train.step import Clipping, Step, step_of
from ampbench.schema.learning import Evaluation


class Training:
    """A cell's network and everything that updates it, on one device: the whole training, or a rank's part in it.

    The seed starts three random generators of their own: weights, order of the images, augmentation. So the cells of a
    group start from the same weights and see the same images in the same order, whatever their precision. Ranks draw
    the same order, and each takes its share of every batch; what they draw for their own images differs.

    Args:
        cell: what is trained, and how.
        images: on what.
        device: where.
        ranks: those that share each batch.
        start: of an earlier training in this process, to begin as that one did.

    Raises:
        ValueError: the batch is larger than the training set, or the model does not fit the images.
        Unsupported: the device cannot do what the cell asks.
    """

    def __init__(
        self,
        cell: Cell,
        images: Images,
        device: torch.device,
        ranks: Ranks = ALONE,
        start: Mapping[str, Any] | None = None,
    ) -> None:
        refuse_large_batch(cell, images)
        self.cell = cell
        self.device = device
        self.ranks = ranks
        self.precision = set_up_precision(cell, device)
        self.images = images.to(device, train=cell.loader == "device")
        begun = begin(cell, images.num_classes, device, ranks.own_seed(cell.seed), start)
        self.start, self.model_changed, model = begun.start, begun.changed, begun.model
        self.model: nn.Module = cast_model(model, cell, device)
        self.model.train()  # a model's own may return nothing
        self.stepped = ranks.wrapped(self.model, device, sync_batchnorm=cell.sync_batchnorm)
        """What the step calls: the model, or the model with its gradients averaged over the ranks; later compiled."""
        self.ema = Ema(self.model, cell.ema_decay) if cell.ema_decay else NoEma(self.model)
        self.criterion = Criterion(self.model, cell, images.num_classes, ranks.world_size)
        self.weights, self.updated, self.master, self.optimizer = updates_of(self.model, cell, device)
        self.normalize = normalize_of(cell, images, self.precision.weights, device)
        self.clip: Clipping = Clip(cell.grad_clip) if cell.grad_clip else no_clip
        self._step = step_of(cell.accumulation, self.criterion.weight_of)
        self.hits = Hits(device, images.num_classes, self.model)
        self.on_progress: OnProgress = ignore_progress
        """Called during an evaluation, with its share that has been queued."""
        self._batches = Batches(cell, self.images, device, self.normalize, ranks)
        self._state = TrainingState(
            model=self.model,
            criterion=self.criterion,
            optimizer=self.optimizer,
            master=self.master,
            scaler=self.precision.scaler,
            ema=self.ema,
            batches=self._batches,
            hits=self.hits,
            device=device,
        )

    @property
    def steps_per_epoch(self) -> int:
        """Steps of one pass over the training images."""
        return self._batches.steps_per_epoch

    @property
    def num_parameters(self) -> int:
        """Trainable parameters."""
        return sum(p.numel() for p in self.weights.values())

    def start_over(self, *, channels_last: bool) -> None:
        """Build the same training again, from its seed, in another layout."""
        cell = replace(self.cell, channels_last=channels_last)
        parts = (cell, self.images, self.device, self.ranks, self.start)
        vars(self).clear()  # there may be no memory for two of them
        Training.__init__(self, *parts)

    def compile(self) -> None:
        """Let the cell's compiler make the kernels of all further steps, not of evaluation; the next step waits for it.

        Raises:
            Unsupported: there is no compiler.
        """
        if self.cell.compile != "none":
            self.stepped = compiled(self.stepped, self.cell, self.device)

    def set_learning_rate(self, epoch: int, step: int) -> None:
        """Set what the schedule says for a step of an epoch, both from 0."""
        rate = self.planned_learning_rate(epoch, step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def planned_learning_rate(self, epoch: int, step: int) -> float:
        """Return what the schedule says for a step of an epoch, both from 0."""
        return learning_rate(self.cell, epoch=epoch, step=step, steps_per_epoch=self.steps_per_epoch)

    def batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Set the learning rate and return images (N, 3, H, W), augmented, and labels (N,), batch by batch.

        Of each batch a rank gets its own share: ranks together see what one process would, with as large a batch.
        """
        self.ranks.tell(OpenEpoch(epoch))
        self.hits.open_epoch()
        for step, batch in enumerate(self._batches.epoch()):
            self.set_learning_rate(epoch, step)
            yield batch

    def step(self, x_NCHW: Tensor, y_N: Tensor, scaler: Scaler | None = None) -> Step:
        """Train on one batch; `scaler` may stand in for the recipe's, to watch it."""
        self.ranks.tell(TakeStep())
        loss = self._step(
            self.stepped,
            x_NCHW,
            y_N,
            loss_fn=self.criterion,
            optimizer=self.optimizer,
            autocast=self.precision.autocast,
            scaler=scaler or self.precision.scaler,
            clip=self.clip,
            hits=self.hits,
        )
        self.ema.update()
        num_images, tally_2 = len(y_N) * self.ranks.world_size, self.precision.scaler.tally_2
        return Step(loss, num_images, tally_2, self.hits.correct, self.hits.num_images)

    def steps(self, epoch: int) -> Iterator[Step]:
        """Train one epoch, step by step. `epoch` counts from 0."""
        for x_NCHW, y_N in self.batches(epoch):
            yield self.step(x_NCHW, y_N)

    def endless_batches(self, first_epoch: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Return the batches of epoch after epoch."""
        for epoch in itertools.count(first_epoch):
            yield from self.batches(epoch)

    def endless_steps(self) -> Iterator[Step]:
        """Train epoch after epoch."""
        for x_NCHW, y_N in self.endless_batches():
            yield self.step(x_NCHW, y_N)

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the next epoch depends on; the tensors are the live ones."""
        self.ranks.tell(GatherState())
        return self._state.state_dict(self.ranks)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take a state back, on all ranks the one that rank 0 is given.

        From here on every loss and weight is what it would have been.
        """
        self.ranks.tell(LoadState())
        self._state.load_state_dict(self.ranks.from_first(state), self.ranks.rank)

    def savepoint(self) -> Savepoint:
        """Keep all of this rank's training in memory, to roll back to once something else was done with it.

        Raises:
            CannotRollBackError: the model holds what cannot be put back.
        """
        return self._state.savepoint()

    def count_hits(self) -> tuple[int | None, int]:
        """Return how many of the epoch's images so far the network got right, and of how many, over all ranks.

        Waits for the device. None where the outputs are no logits.
        """
        self.ranks.tell(CountHits())
        return self.hits.total(self.ranks)

    def evaluate(self) -> Evaluation:
        """Evaluate the network, or its moving average, on the whole test set, in the recipe's own precision."""
        self.ranks.tell(Evaluate())
        x_NCHW, y_N = self.images.test_x_NCHW, self.images.test_y_N
        with explained(self.cell, len(y_N)), self.ema.evaluated() as model:
            return evaluate(
                model,
                x_NCHW,
                y_N,
                prepare=self.normalize,
                loss_fn=loss_of(model),
                autocast=self.precision.autocast,
                batch_size=evaluation_batch_size(self.cell),
                num_classes=self.images.num_classes,
                ranks=self.ranks,
                on_progress=self.on_progress,
            )
