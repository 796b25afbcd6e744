"""Runs `transformers serve` on the CPU with a tiny random Qwen3-VL under the hub name `NAME`.

    python serve_transformers.py TOKENIZER_FOLDER WORK_FOLDER PORT

Two things of torchvision are replaced, because its C++ operators do not load beside a torch of another build:
the operators' declarations (never called here) and `decode_image`, which Pillow does.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

NAME = "tiny/qwen3-vl"
PATCH, MERGE = 16, 2


def stand_in_for_torchvision() -> None:
    """Declares the operators that torchvision's import asks for, and decodes pictures with Pillow."""
    import torch

    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    stand_in_for_torchvision.kept = library  # type: ignore[attr-defined]  # ends with its last reference

    import io

    import numpy as np
    import torchvision.io
    from PIL import Image

    def decode_image(data: Any, mode: Any = None, apply_exif_orientation: bool = False) -> Any:
        file = io.BytesIO(data.numpy().tobytes()) if isinstance(data, torch.Tensor) else data
        image = Image.open(file).convert("RGB")
        return torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)

    torchvision.io.decode_image = decode_image


def make_model(tokenizer: Path, hub: Path) -> None:
    """Writes the model into the hub's cache folder, laid out as a download leaves it."""
    import torch
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    repo = hub / ("models--" + NAME.replace("/", "--"))
    folder = repo / "snapshots" / ("0" * 40)
    folder.mkdir(parents=True)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(folder.name)
    for file in tokenizer.iterdir():
        if file.name != "config.json":
            shutil.copyfile(file, folder / file.name)
    hidden = 32
    config = Qwen3VLConfig(
        text_config={
            "vocab_size": 151936,
            "hidden_size": hidden,
            "intermediate_size": 2 * hidden,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "head_dim": 16,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 5e6,
                "mrope_interleaved": True,
                "mrope_section": [4, 2, 2],
            },
            "bos_token_id": 151643,
            "eos_token_id": 151645,
        },
        vision_config={
            "depth": 2,
            "hidden_size": hidden,
            "intermediate_size": 2 * hidden,
            "num_heads": 2,
            "out_hidden_size": hidden,
            "deepstack_visual_indexes": [0],
            "patch_size": PATCH,
            "spatial_merge_size": MERGE,
            "temporal_patch_size": 2,
            "num_position_embeddings": 2304,
        },
        image_token_id=151655,
        video_token_id=151656,
        vision_start_token_id=151652,
        vision_end_token_id=151653,
        tie_word_embeddings=True,
    )
    torch.manual_seed(0)
    Qwen3VLForConditionalGeneration(config).save_pretrained(folder)
    # save_pretrained wrote one that knows no end of a reply
    shutil.copyfile(tokenizer / "generation_config.json", folder / "generation_config.json")


def main() -> None:
    """Makes the model and serves it until the process is ended."""
    tokenizer, work, port = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    os.environ |= {"HF_HOME": str(work), "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    import torch

    torch.set_num_threads(2)
    stand_in_for_torchvision()
    make_model(tokenizer, work / "hub")
    from transformers.cli.serve import Serve

    Serve(force_model=NAME, device="cpu", dtype="float32", host="127.0.0.1", port=port)


if __name__ == "__main__":
    main()
