"""Declares torchvision's C++ operators, so that torchvision imports beside a torch it was not built for.

Its library does not load beside CPU torch 2.13, and then even `import torchvision` fails: it describes the
shapes of operators that do not exist. No test calls one.
"""

from __future__ import annotations

import torch

_LIBRARY = torch.library.Library("torchvision", "FRAGMENT")


def declare() -> None:
    """Declares what the import of torchvision asks for and torch does not know. To be called before it."""
    for schema in (
        "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
        "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    ):
        name = schema.partition("(")[0]
        if not hasattr(torch.ops.torchvision, name):
            _LIBRARY.define(schema)
