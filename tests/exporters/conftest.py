"""Small graphs of the kinds that models are made of, exported once per session, with calibration samples."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from edgemm.host.interfaces import ShapeRange


class ConvNet(nn.Module):
    """uint8 frame (B, 24, 24, 3) to tokens (B, 9, 16) and valid (B, 9)."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 12, 3, stride=2, padding=1)
        self.b = nn.Conv2d(12, 12, 3, stride=2, padding=1, groups=12)
        self.c = nn.Conv2d(12, 16, 3, stride=2, padding=1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        x = image.float().permute(0, 3, 1, 2) / 127.5 - 1.0
        x = torch.relu(self.c(torch.relu(self.b(torch.relu(self.a(x))))))
        tokens = x.flatten(2).transpose(1, 2)
        return tokens, tokens.abs().sum(-1) > 0.01


class Attention(nn.Module):
    """Tokens (B, 6, 16) and valid (B, 6) to a vector (B, 8), by attention with a finite additive mask."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(16, 48), nn.Linear(16, 8)
        self.norm = nn.LayerNorm(16, eps=1e-4)

    def forward(self, tokens: Tensor, valid: Tensor) -> Tensor:
        x = torch.where(valid[..., None], tokens, torch.zeros_like(tokens))
        q, k, v = self.qkv(self.norm(x)).chunk(3, dim=-1)
        mask = torch.where(valid, 0.0, -1e4)[:, None, :]
        x = x + torch.softmax(q @ k.transpose(1, 2) * 0.25 + mask, dim=-1) @ v
        return self.out(x.mean(dim=1))


class TextNet(nn.Module):
    """int32 bytes (B, 12), 0 is padding, to tokens (B, 12, 16)."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(256, 16)
        self.conv = nn.Conv2d(16, 16, (1, 3), padding=(0, 1))

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        valid = ids != 0
        x = self.embedding(ids) * valid[..., None]
        x = torch.relu(self.conv(x.transpose(1, 2)[:, :, None, :]))[:, :, 0]
        return x.transpose(1, 2), valid


class Frontend(nn.Module):
    """Audio (B, 800) to log power in 8 bands (B, 8, 1, 19); quiet bands are far below what FP16 can hold."""

    def __init__(self) -> None:
        super().__init__()
        self.basis = nn.Conv2d(1, 32, (1, 80), stride=(1, 40), bias=False)
        self.bands = nn.Conv2d(16, 8, 1, bias=False)
        nn.init.uniform_(self.bands.weight, 0.01, 0.1)

    def forward(self, audio: Tensor) -> Tensor:
        spectrum = self.basis(audio[:, None, None, :])
        power = spectrum[:, :16] ** 2 + spectrum[:, 16:] ** 2
        return torch.log(self.bands(power).clamp(min=1e-10))


class AudioNet(nn.Module):
    """Audio (B, 800) to tokens (B, 10, 16) and loudness (B, 8), which reads the front end too."""

    def __init__(self) -> None:
        super().__init__()
        self.frontend = Frontend()
        self.conv = nn.Conv2d(8, 16, (1, 3), stride=(1, 2), padding=(0, 1))

    def forward(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        bands = self.frontend(audio)
        return torch.relu(self.conv(bands * 0.1 + 1.0))[:, :, 0].transpose(1, 2), bands.amax(dim=(2, 3))


@dataclass(frozen=True)
class Graph:
    """An exported graph and what it takes to quantize, compile and run it."""

    name: str
    path: Path
    keep_fp32: tuple[str, ...]
    sample: Callable[[np.random.Generator, int], dict[str, np.ndarray]]

    def batches(self, count: int = 32, batch: int = 1, seed: int = 1) -> Iterator[dict[str, np.ndarray]]:
        """`count` samples, always the same, in batches of any size."""
        random = np.random.default_rng(seed)
        samples = [self.sample(random, 1) for _ in range(count)]
        for start in range(0, count, batch):
            chunk = samples[start : start + batch]
            yield {name: np.concatenate([sample[name] for sample in chunk]) for name in chunk[0]}

    def shapes(self) -> dict[str, ShapeRange]:
        """A batch of 1 to 8 for every input."""
        shapes = {name: array.shape[1:] for name, array in self.sample(np.random.default_rng(0), 1).items()}
        return {name: ShapeRange((1, *rest), (1, *rest), (8, *rest)) for name, rest in shapes.items()}

    def run(self, path: Path, *, optimized: bool = True, count: int = 16) -> list[np.ndarray]:
        """Outputs on samples that calibration did not see."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        if not optimized:  # int8 kernels of CPUs without VNNI saturate; a graph for GPUs is judged without them
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        (feeds,) = self.batches(count, batch=count, seed=2)
        return list(session.run(None, feeds))


def _image(random: np.random.Generator, batch: int) -> dict[str, np.ndarray]:
    return {"image": random.integers(0, 256, (batch, 24, 24, 3), dtype=np.uint8)}


def _tokens(random: np.random.Generator, batch: int) -> dict[str, np.ndarray]:
    valid = random.random((batch, 6)) < 0.7
    valid[:, 0] = True
    return {"tokens": random.standard_normal((batch, 6, 16), dtype=np.float32), "valid": valid}


def _ids(random: np.random.Generator, batch: int) -> dict[str, np.ndarray]:
    ids = random.integers(1, 256, (batch, 12), dtype=np.int32)
    return {"ids": np.where(np.arange(12) < random.integers(1, 13, (batch, 1)), ids, 0).astype(np.int32)}


def _audio(random: np.random.Generator, batch: int) -> dict[str, np.ndarray]:
    gain = 10.0 ** random.uniform(-4, 0, (batch, 1))
    return {"audio": (random.uniform(-1, 1, (batch, 800)) * gain).astype(np.float32)}


def _export(name: str, net: nn.Module, sample: Callable[..., dict[str, np.ndarray]], folder: Path) -> Graph:
    path = folder / f"{name}.onnx"
    feeds = sample(np.random.default_rng(0), 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's exporter deprecates parts of itself
        torch.onnx.export(
            net.eval(),
            tuple(torch.from_numpy(array) for array in feeds.values()),
            path,
            input_names=list(feeds),
            dynamo=True,
            opset_version=18,
            external_data=False,
            dynamic_shapes=tuple({0: "batch"} for _ in feeds),
            verbose=False,
        )
    keep = [node.name for node in onnx.load(str(path)).graph.node if _of_frontend(node)]
    return Graph(name, path, tuple(keep), sample)


def _of_frontend(node: onnx.NodeProto) -> bool:
    return any(item.key == "pkg.torch.onnx.name_scopes" and "'frontend'" in item.value for item in node.metadata_props)


@pytest.fixture(scope="session")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Graph]:
    """conv, attention, text and audio; audio has a front end that must stay FP32."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("graphs")
    made = [
        _export("conv", ConvNet(), _image, folder),
        _export("attention", Attention(), _tokens, folder),
        _export("text", TextNet(), _ids, folder),
        _export("audio", AudioNet(), _audio, folder),
    ]
    return {graph.name: graph for graph in made}
