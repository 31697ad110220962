"""A cell: everything that decides what one training is, and nothing about where or when it runs."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import operator
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt

from ampbench.bench.plan.augmentation import AugmentTexts
from ampbench.bench.plan.environment import Environment
from ampbench.bench.plan.loss_scale import LossScale, LossScaleText
from ampbench.bench.plan.model_args import ModelArgs
from ampbench.bench.plan.recipe import RECIPES, Recipe

Positive = Annotated[int, Ge(1), Le(2**31 - 1)]
NonNegative = Annotated[int, Ge(0), Le(2**31 - 1)]
Seed = Annotated[int, Ge(0), Le(2**63 - 1)]
"""What torch takes and a table holds."""

MAX_CHARACTERS = 120
"""Of a model's name in the name of a folder; of a longer one the last characters are taken."""

PRECISION_FIELDS = ("precision", "loss_scale")
"""What may differ between the cells of one group."""

TABLE_FIELDS = ("model_args", "environment")
"""Fields that are a table in a file, so that an axis of tables is an axis of their values."""


class _Remembering:
    """Gives a class of slots room for its cached properties."""


@dataclass(frozen=True, kw_only=True, slots=True)  # a hundred thousand of them take 70 MB, and 340 MB without slots
class Cell(_Remembering):
    """One point of the matrix. Every field may be an axis, and every default is written out in the record."""

    model: str
    """A name of `models.NAMES`, `torchvision:NAME`, `timm:NAME`, `hf:PATH` or `package.module:factory`."""
    data: str
    """`digits`, `cifar10`, `cifar100`, `synthetic` or `folder:PATH`."""
    precision: Recipe
    """The recipe; a file and the command line give its name."""
    batch_size: Positive
    """Images a step, on each GPU."""

    model_args: ModelArgs = None
    """Of the network itself, a table in a file: `{hidden_dropout_prob = 0.1}`; of our networks: models/arguments.py."""

    seed: Seed = 0
    """Of the initial weights, the order of the images and the augmentation."""
    round: NonNegative = 0
    """Number of the repetition of a timing, each in a process of its own; 0 for a training."""
    epochs: NonNegative = 0
    """0 measures speed and memory only."""

    optimizer: Literal["sgd", "nesterov", "adam", "adamw"] = "sgd"
    """`nesterov` is SGD with Nesterov momentum."""
    learning_rate: Annotated[float, Gt(0), Lt(math.inf)] = 0.01
    """Before the schedule."""
    momentum: Annotated[float, Ge(0), Lt(1)] = 0.9
    """Of SGD; Adam and AdamW keep torch's betas."""
    weight_decay: Annotated[float, Ge(0), Lt(math.inf)] = 5e-4
    """L2 for SGD and Adam, decoupled for AdamW."""
    grad_clip: Annotated[float, Ge(0), Lt(math.inf)] = 0.0
    """Largest global norm of the gradients, unscaled; 0 leaves them as they are."""
    label_smoothing: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Of the cross-entropy that is trained; the loss on the test set stays plain."""
    ema_decay: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Of an exponential moving average of the weights, which is then what is evaluated; 0 keeps none."""
    accumulation: Positive = 1
    """Parts that a batch is computed in; their gradients add up to one update."""
    optimizer_impl: Literal["fused", "foreach"] = "fused"
    """torch's implementation; fused ones unscale gradients inside their kernel, without a wait."""
    schedule: Literal["constant", "cosine", "warmup_multistep", "warm_restarts", "one_cycle", "stable", "advanced"] = (
        "cosine"
    )
    """A function of bench/train/schedule.py. Cosine goes to 0 over the run, stepped per epoch."""
    warmup_epochs: NonNegative = 1
    """Of `warmup_multistep`: from 0.01 of the learning rate."""
    milestones: tuple[Positive, ...] = (60, 120, 200, 260)
    """Of `warmup_multistep`: the epochs at which the learning rate is multiplied by 0.1."""
    loss_scale: LossScaleText | None = None
    """`none`, `dynamic` (its settings after a colon: `dynamic:init=1024,growth=2,backoff=0.5,interval=50`) or
    `static:N`; unset means the recipe's."""

    image_size: Positive = 32
    """Height and width in pixels; images of another size are resized when the data is prepared."""
    resize: NonNegative = 0
    """Height and width that every batch is resized to on the device, in training and evaluation; 0 keeps their size."""
    normalization: Literal["data", "imagenet", "half"] = "data"
    """Mean and standard deviation that pixels are normalised by: the data set's own, ImageNet's, or 0.5 for both."""
    augment: AugmentTexts = ("crop", "flip")
    """In the order of acting, on the device, batched: `crop` (4 pixels of padding), `flip`, `rotation:15`, `jitter`,
    `cutout:16`, `erasing`; their settings after a colon: `jitter:brightness=.1,hue=.1` (bench/plan/augmentation.py)."""
    test_batch_size: NonNegative = 0
    """Images of a step of evaluation, on each GPU; 0 means `batch_size`, but 128 or more."""
    drop_last: bool = True
    """Whether an epoch's last, smaller batch is left out, so that every step is alike."""

    loader: Literal["device", "dataloader"] = "device"
    """`device` keeps all images there; `dataloader` is torch's, with processes that gather batches on the host. Both
    bring the same images in the same order (bench/train/images/loader.py)."""
    num_workers: Annotated[int, Ge(0), Le(256)] = 4
    """Processes of a `dataloader`, of each GPU; 0 gathers in the training process."""
    prefetch_factor: Positive = 4
    """Batches that each of them prepares ahead."""

    channels_last: bool = True
    """Whether 4-d weights and images are laid out NHWC in memory."""
    cudnn_benchmark: bool = True
    """Whether cuDNN tries its algorithms on the first step of a shape."""
    reduced_precision_reductions: bool = True
    """Whether 16-bit matrix products on CUDA may accumulate in less than fp32 (torch's default)."""
    onednn: Literal["auto", "on", "off"] = "auto"
    """Whether a CPU's matrix products and convolutions are oneDNN's or torch's own. `auto` is on, but off for fp16 on a
    CPU without AMX-FP16: oneDNN computes weight gradients of convolutions there in a reference loop
    (experiments/LOG.md)."""
    compile: Literal["none", "default", "reduce-overhead", "max-autotune"] = "none"
    """torch.compile's mode for the network; on a GPU `reduce-overhead` and `max-autotune` replay its kernels as CUDA
    graphs. The first step of a process is not compiled, because the dtype check watches it; so a training that goes
    on from a checkpoint is not bit-equal. Compiled dropout draws other numbers."""
    num_threads: Annotated[int, Ge(0), Le(1024)] = 0
    """Of torch on the CPU; 0 means all cores of the board."""
    gpus: Annotated[int, Ge(1), Le(1024)] = 1
    """Boards that train the cell together, each its own images of a step, by DistributedDataParallel; as many processes
    on one CPU, which share its cores."""
    sync_batchnorm: bool = False
    """Whether BatchNorm sees the images of all these GPUs together."""
    environment: Environment = None
    """Variables that the worker sets before CUDA and NCCL start, a table in a file: `{NCCL_P2P_DISABLE = 1}`; those
    that are known: bench/plan/environment.py."""

    @property
    def resolved_loss_scale(self) -> str:
        """The cell's own loss scale, else its recipe's."""
        return self.loss_scale if self.loss_scale is not None else self.precision.loss_scale

    @property
    def scale(self) -> LossScale:
        """The loss scale in numbers."""
        return LossScale.parse(self.resolved_loss_scale)

    @property
    def global_batch_size(self) -> int:
        """Images a step, on all GPUs together."""
        return self.batch_size * self.gpus

    @property
    def input_size(self) -> int:
        """Height and width in pixels of what the model gets."""
        return self.resize or self.image_size

    @property
    def has_cuda_graphs(self) -> bool:
        """Whether the compiler's mode replays CUDA graphs, on a GPU."""
        return self.compile in ("reduce-overhead", "max-autotune")

    @property
    def compiling_steps(self) -> int:
        """Steps in which the compiler works: the first call compiles, and a CUDA graph is recorded in the second."""
        return 0 if self.compile == "none" else 1 + self.has_cuda_graphs

    @property
    def settings(self) -> dict[str, Any]:
        """Every field in plain JSON types, the loss scale resolved; the columns of a record that say what ran."""
        return {name: self.setting(name) for name in _FIELDS}

    def setting(self, name: str) -> Any:
        """Return one of `settings`."""
        if name in PRECISION_FIELDS:
            return self.precision.name if name == "precision" else self.resolved_loss_scale
        value = getattr(self, name)
        return list(value) if isinstance(value, tuple) else value

    @property
    def cell_id(self) -> str:
        """16 hex digits over the fields that differ from their default: a new field keeps the old ids."""
        return self._ids[0]

    @property
    def group_id(self) -> str:
        """The same for all cells that differ only in precision and round: those that are compared."""
        return self._ids[1]

    @cached_property
    def _ids(self) -> tuple[str, str]:
        identity = self._identity()
        own = {*PRECISION_FIELDS, "recipe", "round"}
        return _digest(identity), _digest({name: value for name, value in identity.items() if name not in own})

    @property
    def run_folder(self) -> str:
        """Name of the run's folder: readable first, unique by its last 8 characters."""
        model = re.sub(r"[^A-Za-z0-9_.]+", "_", self.model)[-MAX_CHARACTERS:]
        return f"{model}-{self.precision}-b{self.batch_size}-s{self.seed}-{self.cell_id[:8]}"

    @property
    def study_name(self) -> str:
        """The run's name in study S3: `Cifar10-VGG19-e200-b256-bf16-amp-lossscale`."""
        recipe = self.precision
        dtype = "tf32" if recipe.tf32 and recipe.compute == "fp32" else "fp8" if recipe.fp8 else recipe.compute
        parts = [self.data.partition(":")[0].capitalize(), self.model, f"e{self.epochs}", f"b{self.batch_size}", dtype]
        return "-".join(parts + ["amp"] * recipe.autocast + ["lossscale"] * (self.scale.mode != "none"))

    def __str__(self) -> str:
        gpus = f"x{self.gpus}" if self.gpus > 1 else ""
        text = f"{self.model} {self.precision} b{self.batch_size}{gpus} s{self.seed}"
        return f"{text} r{self.round}" if self.round else text

    def to_json(self) -> dict[str, Any]:
        """All fields, the recipe written out, so that a worker needs no experiment file."""
        return {**self.settings, "loss_scale": self.loss_scale, "precision": dataclasses.asdict(self.precision)}

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> Cell:
        """Inverse of `to_json`."""
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in plain.items()
        }
        recipe: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in plain["precision"].items()}
        return cls(**{**values, "precision": Recipe(**recipe)})

    def _identity(self) -> dict[str, Any]:
        recipe = self.precision
        values = zip(_FIELDS, _values(self), _DEFAULTS, strict=True)
        identity = {name: self.setting(name) for name, value, default in values if value != default}
        if self.resolved_loss_scale == recipe.loss_scale:
            identity.pop("loss_scale", None)
        if recipe != RECIPES.get(recipe.name):
            identity["recipe"] = recipe.settings
        return identity


_FIELDS = tuple(f.name for f in dataclasses.fields(Cell))
_DEFAULTS = tuple(f.default for f in dataclasses.fields(Cell))
_values = operator.attrgetter(*_FIELDS)


def _digest(identity: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
