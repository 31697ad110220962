"""One training, ready to step: images, model, precision, optimizer and the three random states behind them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ampbench.bench.plan.cell import Cell
from ampbench.bench.train.augment import Augment, normalize_of
from ampbench.bench.train.clip import Clip, no_clip
from ampbench.bench.train.compiler import compiled
from ampbench.bench.train.criterion import Criterion
from ampbench.bench.train.ema import Average, MovingAverage, NoAverage
from ampbench.bench.train.evaluation import Evaluation, Told, evaluate, loss_of, nobody, note_sizes
from ampbench.bench.train.hits import Hits
from ampbench.bench.train.images import Images
from ampbench.bench.train.loader import loader_of
from ampbench.bench.train.master_weights import MasterWeights
from ampbench.bench.train.model_state import load_model_state, model_state
from ampbench.bench.train.network import begin
from ampbench.bench.train.optimizer import build_optimizer
from ampbench.bench.train.orders import CountHits, Evaluate, GatherState, LoadState, OpenEpoch, TakeStep
from ampbench.bench.train.precision import Scaler, cast_model, set_up_precision
from ampbench.bench.train.random_state import read_generators, rewind_generators
from ampbench.bench.train.ranks import ALONE, Ranks
from ampbench.bench.train.savepoint import Savepoint
from ampbench.bench.train.schedule import learning_rate
from ampbench.bench.train.step import Clipping, step_of

MIN_EVALUATION_BATCH = 128
"""Evaluation keeps no activations, so a training batch smaller than this would only make it slow."""


class Step(NamedTuple):
    """A step that was just queued."""

    loss: Tensor
    """Scalar, fp32, on the device; of this rank's share of the batch."""
    num_images: int
    """In its batch, over all ranks: the last one of an epoch may be smaller."""
    tally_2: Tensor | None
    """Loss scale that it used and steps skipped up to it, on the device; None without a scaler."""
    correct: Tensor | None = None
    """Images of this epoch up to here that the network got right, of this rank, on the device; None if not known."""
    num_seen: int = 0
    """Images of this epoch up to here, of this rank."""


class Training:
    """A cell's network and everything that updates it, on one device: the whole training, or a rank's part in it.

    The seed sets three generators apart: weights, order of the images, augmentation. Cells of a group thus
    start from the same weights and see the same images in the same order, whatever their precision. Ranks draw
    the same order and take every batch apart; what they draw for their own images differs.

    Args:
        cell: what is trained.
        images: on what.
        device: and where.
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
        self.cell = cell
        self.device = device
        self.ranks = ranks
        if cell.global_batch_size > len(images.train_y_N):
            raise ValueError(
                f"batch_size = {cell.batch_size}{f' on each of {cell.gpus} GPUs' if cell.gpus > 1 else ''} is more "
                f"than the {len(images.train_y_N)} training images; choose a smaller one"
            )
        self.precision = set_up_precision(cell, device)
        self.images = images.to(device, train=cell.loader == "device")
        self.loader = loader_of(cell, self.images, device, ranks)
        begun = begin(cell, images.num_classes, device, ranks.own_seed(cell.seed), start)
        self.start, self.model_changed, model = begun.start, begun.changed, begun.model
        self.model: nn.Module = cast_model(model, cell, device)
        self.model.train()  # a model's own may return nothing
        self.stepped = ranks.wrapped(self.model, device, sync_batchnorm=cell.sync_batchnorm)
        """What the step calls: the model, or the model with its gradients averaged over the ranks; later compiled."""
        self.ema: Average = MovingAverage(self.model, cell.ema_decay) if cell.ema_decay else NoAverage(self.model)
        self.criterion = Criterion(self.model, cell, images.num_classes, ranks.world_size)
        self.loss_fn = self.criterion.loss_fn
        self.weights = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        """What trains, by name, as the model holds it."""
        self.master: MasterWeights | None = None
        if cell.precision.fp32_update:
            self.master = MasterWeights(self.weights.values(), cell.precision.rounding, device, cell.seed)
        self.updated = dict(
            zip(self.weights, self.master.parameters if self.master else self.weights.values(), strict=True)
        )
        """What the optimizer updates, by the same names: the weights, or their fp32 copies."""
        self.optimizer = build_optimizer(self.updated.values(), cell)
        if self.master:
            self.master.follow(self.optimizer)
        self.normalize = normalize_of(cell, images, self.precision.weights, device)
        self.clip: Clipping = Clip(cell.grad_clip) if cell.grad_clip else no_clip
        self._step = step_of(cell.accumulation, self.criterion.weight_of)
        self.hits = Hits(device, images.num_classes, self.model)
        self.told: Told = nobody
        """Hears how far an evaluation is."""
        # The order is drawn on the CPU, where the same seed gives the same permutation on every machine.
        self._order = torch.Generator().manual_seed(cell.seed)
        generator = torch.Generator(device).manual_seed(ranks.own_seed(cell.seed))
        self._augment = Augment(cell.augment, self.normalize, generator)

    @property
    def steps_per_epoch(self) -> int:
        """Steps of one pass over the training images."""
        full, rest = divmod(len(self.images.train_y_N), self.cell.global_batch_size)
        return full + (rest > 0 and not self.cell.drop_last)

    @property
    def num_parameters(self) -> int:
        """Trainable parameters."""
        return sum(p.numel() for p in self.weights.values())

    def start_over(self, *, channels_last: bool) -> None:
        """Be the training that was built, from its seed, in another layout."""
        cell = replace(self.cell, channels_last=channels_last)
        parts = (cell, self.images, self.device, self.ranks, self.start)
        vars(self).clear()  # two of them may not fit
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
        rate = learning_rate(self.cell, epoch=epoch, step=step, steps_per_epoch=self.steps_per_epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Set the learning rate and return images (N, 3, H, W), augmented, and labels (N,), batch by batch.

        Of each batch a rank gets its own share: ranks together see what one process would, with as large a batch.
        """
        self.ranks.tell(OpenEpoch(epoch))
        self.hits.open_epoch()
        order_N = torch.randperm(len(self.images.train_y_N), generator=self._order)
        for step, (x_NCHW, y_N) in enumerate(self.loader.batches(order_N)):
            self.set_learning_rate(epoch, step)
            yield self._augment(x_NCHW), y_N

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
        self.ema.follow()
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
        """Return everything that the next epoch depends on; the tensors are the live ones.

        Weights and optimizer are the same on all ranks, the random states are not: there is one set for each. The
        optimizer's state has the dtype of what it updates, so nothing in it is cast on the way back
        (`Optimizer.load_state_dict` casts to the dtype of the parameter): fp32 copies are an entry of their own.
        """
        self.ranks.tell(GatherState())
        own = read_generators(self.device)
        own |= {"order": self._order.get_state(), "augment": self._augment.generator.get_state()}
        return {
            "model": model_state(self.model),
            "optimizer": self.optimizer.state_dict(),
            "master": self.master.state_dict() if self.master else None,
            "scaler": self.precision.scaler.state_dict(),
            "average": self.ema.state_dict(),
            "random": self.ranks.gather(own),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take a state back, on all ranks the one that rank 0 is given.

        From here on every loss and weight is what it would have been.
        """
        self.ranks.tell(LoadState())
        self.restore(self.ranks.from_first(state))

    def restore(self, state: dict[str, Any]) -> None:
        """Take a state back on this rank alone, where it left what the others have."""
        load_model_state(self.model, state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.master:
            self.master.load_state_dict(state["master"])
        self.precision.scaler.load_state_dict(state["scaler"])
        self.ema.load_state_dict(state["average"])
        own = state["random"][self.ranks.rank]
        self._order.set_state(own["order"])
        self._augment.generator.set_state(own["augment"])
        rewind_generators(own, self.device)

    def savepoint(self) -> Savepoint:
        """Keep all of this rank's training, to roll back to once something else was done with it.

        Raises:
            CannotRollBackError: the model holds what cannot be put back.
        """
        self.optimizer.zero_grad(set_to_none=True)  # as the next step begins
        roots = {"model": self.model, "loss": self.criterion, "optimizer": self.optimizer, "master": self.master}
        roots |= {"scaler": self.precision.scaler, "average": self.ema, "order": self._order, "hits": self.hits}
        return Savepoint(roots | {"augment": self._augment.generator}, self.device)

    def count_hits(self) -> tuple[int | None, int]:
        """Return how many of the epoch's images so far the network got right, and of how many, over all ranks.

        Waits for the device. None where the outputs are no logits.
        """
        self.ranks.tell(CountHits())
        if self.hits.correct is None:
            return None, self.hits.num_images * self.ranks.world_size
        correct = self.hits.correct.clone()
        self.ranks.add_up([correct])
        return int(correct), self.hits.num_images * self.ranks.world_size

    def evaluate(self) -> Evaluation:
        """Evaluate the network, or the average of its weights, on the whole test set, in the recipe's own precision."""
        self.ranks.tell(Evaluate())
        size = self.cell.test_batch_size or max(self.cell.batch_size, MIN_EVALUATION_BATCH)
        try:
            with self.ema.evaluated() as model:
                return evaluate(
                    model,
                    self.images.test_x_NCHW,
                    self.images.test_y_N,
                    prepare=self.normalize,
                    loss_fn=loss_of(model),
                    autocast=self.precision.autocast,
                    batch_size=size,
                    num_classes=self.images.num_classes,
                    ranks=self.ranks,
                    told=self.told,
                )
        except ValueError as e:
            raise ValueError(f"{self.cell.model} in evaluation: {e}") from e
        except Exception as e:
            note_sizes(e, size, len(self.images.test_y_N), self.cell.batch_size)
            raise
