"""The loops that ours is held against: one by hand with nothing but the training, and one as it is usually written."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from ampbench import models
from ampbench.bench.train.images.images import CIFAR_MEAN, CIFAR_STD, Images


class ByHand:
    """A minimal loop over images on the device: no clock, no record, no recipe, no schedule."""

    def __init__(self, name: str, images: Images, device: torch.device, *, batch_size: int, bf16_amp: bool) -> None:
        self.device = device
        self.model = models.build(name).to(device, memory_format=torch.channels_last).train()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4, fused=True)
        self.images = images.to(device)
        self.batch_size = batch_size
        self.bf16_amp = bf16_amp
        self.mean = torch.tensor(images.mean, device=device).view(1, 3, 1, 1) * 255
        self.std = torch.tensor(images.std, device=device).view(1, 3, 1, 1) * 255

    def run(self, num_steps: int) -> None:
        """Train some steps, to the end of the last one."""
        order = torch.randperm(len(self.images.train_y_N), device=self.device)
        for step in range(num_steps):
            chosen = order[step * self.batch_size : (step + 1) * self.batch_size]
            x = self.augment(self.images.train_x_NCHW[chosen])
            self.optimizer.zero_grad()
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16_amp):
                logits = self.model(x)
            F.cross_entropy(logits.float(), self.images.train_y_N[chosen]).backward()
            self.optimizer.step()
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def augment(self, x: Tensor) -> Tensor:
        """Crop and flip, one offset an image."""
        n, device = len(x), x.device
        windows = F.pad(x, (4, 4, 4, 4)).unfold(2, 32, 1).unfold(3, 32, 1)
        x = windows[
            torch.arange(n, device=device),
            :,
            torch.randint(0, 9, (n,), device=device),
            torch.randint(0, 9, (n,), device=device),
        ]
        x = torch.where((torch.rand(n, device=device) < 0.5).view(n, 1, 1, 1), x.flip(3), x)
        return (x.to(torch.float32, memory_format=torch.channels_last) - self.mean) / self.std


class AsPil(Dataset[tuple[Tensor, int]]):
    """Images as torchvision's CIFAR10 gives them: PIL, transformed one by one."""

    transform = transforms.Compose(
        [
            transforms.RandomCrop(32, padding=4),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(CIFAR_MEAN, CIFAR_STD),
        ]
    )

    def __init__(self, images: Images) -> None:
        self.pixels_NHWC = images.train_x_NCHW.permute(0, 2, 3, 1).contiguous().numpy()
        self.labels = images.train_y_N.tolist()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.pixels_NHWC[index])), self.labels[index]


class AsUsual:
    """The loop of countless CIFAR-10 repositories: a loader with 2 workers, NCHW, .item() every step.

    In fp32, or as such scripts write AMP: fp16 autocast and a GradScaler.
    """

    def __init__(self, name: str, images: Images, device: torch.device, *, batch_size: int, amp: bool = False) -> None:
        self.device = device
        self.amp = amp
        self.scaler = torch.amp.GradScaler(device.type, enabled=amp)
        self.model = models.build(name).to(device).train()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
        self.loader = DataLoader(AsPil(images), batch_size, shuffle=True, num_workers=2)
        self.batches: Iterator[list[Tensor]] = iter(self.loader)

    def run(self, num_steps: int) -> float:
        """Train some steps; return the running loss, as it would be printed."""
        train_loss, correct, total = 0.0, 0, 0
        for _ in range(num_steps):
            batch = next(self.batches, None)
            if batch is None:
                self.batches = iter(self.loader)
                batch = next(self.batches)
            inputs, targets = (tensor.to(self.device) for tensor in batch)
            self.optimizer.zero_grad()
            with torch.autocast(self.device.type, torch.float16, enabled=self.amp):
                outputs = self.model(inputs)
                loss = nn.functional.cross_entropy(outputs, targets)
            self.scaler.scale(loss).backward()
            self.scaler.step(self.optimizer)
            self.scaler.update()
            train_loss += loss.item()
            total += targets.size(0)
            correct += outputs.argmax(1).eq(targets).sum().item()
        return train_loss / num_steps + correct / total
