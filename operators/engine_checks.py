"""Finds out, in seconds, what would make the engine's start of minutes fail: one sentence per fault.

Plain functions of plain facts (free bytes, files), so that each sentence is tested without a GPU.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from operators.errors import DescribeError

ARCHITECTURES = ("Qwen3VLForConditionalGeneration", "Qwen3VLMoeForConditionalGeneration")
INSTALL = "pip install '.[sglang]' in sightlog's folder"
_ALWAYS = ("config.json", "tokenizer.json", "preprocessor_config.json")
_INDEX = "model.safetensors.index.json"
_SINGLE = "model.safetensors"
_WITHOUT_WEIGHTS = ["*.json", "*.jinja", "*.txt"]
_GIB = 1024**3


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelFacts:
    """What a model folder says of itself; `weight_bytes` is 0 when the folder needs no weights.

    `expert_columns` and `block` are set for block-FP8 mixtures of experts: each GPU takes whole blocks.
    """

    folder: Path
    architecture: str
    weight_bytes: int
    expert_columns: int | None = None
    block: int | None = None


def check_installed(package: str = "sglang") -> None:
    """Raises DescribeError when `package` cannot be imported; does not import it (20 s)."""
    if importlib.util.find_spec(package) is None:
        raise DescribeError(f"describer 'sglang': SGLang is not installed here; {INSTALL}")


def free_gpu_bytes() -> list[int]:
    """Returns the free memory of each GPU that this process may use."""
    import torch

    if not torch.cuda.is_available():
        return []
    return [torch.cuda.mem_get_info(index)[0] for index in range(torch.cuda.device_count())]


def check_gpus(free_bytes: Sequence[int], tp: int) -> None:
    """Raises DescribeError when there are fewer GPUs than `tp`."""
    if not free_bytes:
        raise DescribeError(
            "describer 'sglang': this process sees no NVIDIA GPU; check `nvidia-smi` and "
            "CUDA_VISIBLE_DEVICES, or use describer 'served' with a server that has one"
        )
    if len(free_bytes) < tp:
        raise DescribeError(
            f"describer 'sglang': sglang.tp is {tp}, but this process sees {len(free_bytes)} GPUs; lower it "
            "or give it more"
        )


def find_model(model: str, *, weights: bool) -> Path:
    """Returns the folder of `model`, a path or a hub name; a hub name is fetched unless it is there already.

    Without `weights` only the small files are fetched. Raises DescribeError.
    """
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder.resolve()
    if model.count("/") != 1 or model.startswith((".", "/", "~")):
        raise DescribeError(
            f"model folder {model!r} does not exist; correct `model.name` or download the model"
        )
    try:
        from huggingface_hub import snapshot_download

        return Path(snapshot_download(model, allow_patterns=None if weights else _WITHOUT_WEIGHTS))
    except ImportError as error:
        raise DescribeError(
            f"model {model!r} is a hub name, which needs huggingface_hub; {INSTALL}"
        ) from error
    except Exception as error:  # the hub's errors share no base: HTTP, validation, offline, full disk
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DescribeError(
            f"cannot fetch model {model!r} from the hub: {first}; check the name and the network, or set "
            "`model.name` to a folder that holds it"
        ) from error


def read_model(folder: Path, *, weights: bool = True) -> ModelFacts:
    """Returns the facts of a complete model folder.

    Raises DescribeError when a file is missing or unreadable, or the architecture is not Qwen3-VL.
    """
    missing = [name for name in _ALWAYS if not (folder / name).is_file()]
    if missing:
        raise _incomplete(folder, missing)
    weight_bytes = _weight_bytes(folder) if weights else 0
    config = _json(folder / "config.json")
    named = config.get("architectures") or ["none"]
    known = [name for name in named if name in ARCHITECTURES]
    if not known:
        raise DescribeError(
            f"model {str(folder)!r} is a {named[0]}; describer 'sglang' knows {' and '.join(ARCHITECTURES)}, "
            "use describer 'served' for others"
        )
    block = (config.get("quantization_config") or {}).get("weight_block_size")
    columns = (config.get("text_config") or {}).get("moe_intermediate_size")
    return ModelFacts(
        folder=folder,
        architecture=known[0],
        weight_bytes=weight_bytes,
        expert_columns=columns if block and columns else None,
        block=block[0] if block and columns else None,
    )


def check_memory(facts: ModelFacts, free_bytes: Sequence[int], *, tp: int, share: float) -> None:
    """Raises DescribeError when a GPU's share of the weights exceeds `share` of its free memory."""
    needed = facts.weight_bytes / tp
    for index, free in enumerate(free_bytes[:tp]):
        if needed > free * share:
            raise DescribeError(
                f"model {str(facts.folder)!r} has {needed / _GIB:.1f} GiB of weights for GPU {index}, where "
                f"{free * share / _GIB:.1f} GiB can be used ({free / _GIB:.1f} free x {share}, "
                "sglang.mem_fraction_static); end what else uses it, raise sglang.tp or choose a smaller one"
            )


def check_split(facts: ModelFacts, tp: int) -> None:
    """Raises DescribeError when the experts' FP8 blocks cannot be dealt out to `tp` GPUs."""
    if facts.expert_columns is None or facts.block is None:
        return
    if facts.expert_columns % (tp * facts.block) == 0:
        return
    fitting = [n for n in (1, 2, 4, 8) if facts.expert_columns % (n * facts.block) == 0]
    raise DescribeError(
        f"sglang.tp is {tp}, but the FP8 experts of {str(facts.folder)!r} ({facts.expert_columns} columns in "
        f"blocks of {facts.block}) divide only by {fitting}; set it to {fitting[-1]} and use the other GPUs "
        "for more copies, or use the BF16 model"
    )


def _weight_bytes(folder: Path) -> int:
    index = folder / _INDEX
    if not index.is_file():
        if not (folder / _SINGLE).is_file():
            raise _incomplete(folder, [f"{_INDEX} (or {_SINGLE})"])
        return (folder / _SINGLE).stat().st_size
    shards = sorted(set(_json(index).get("weight_map", {}).values()))
    missing = [name for name in shards if not (folder / name).is_file()]
    if missing or not shards:
        raise _incomplete(folder, missing or ["weights"])
    return sum((folder / name).stat().st_size for name in shards)


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DescribeError(f"cannot read {str(path)!r}: {error}; download the model folder again") from error
    if not isinstance(content, dict):
        raise DescribeError(f"{str(path)!r} is not a JSON object; download the model folder again")
    return content


def _incomplete(folder: Path, missing: Sequence[str]) -> DescribeError:
    more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
    return DescribeError(
        f"model folder {str(folder)!r} lacks {', '.join(missing[:3])}{more}; download the whole folder again"
    )
