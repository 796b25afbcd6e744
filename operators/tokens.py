"""Turns a prompt and a clip into the token ids that Qwen3-VL was trained on, and reads the times back.

The layout is that of `Qwen3VLProcessor` 4.57.1, which the model's authors released with it: a pair's time,
then its pictures, `<0.2 seconds><|vision_start|>...<|vision_end|>`. transformers 5 keeps one more
`<|vision_start|>...<|vision_end|>` around all of them (vllm issue #46817); `outer_vision_wrap` does the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from operators.core import Clip
from operators.errors import DescribeError
from operators.parts import Shown, in_pairs
from operators.prompt import Prompt

TOKENIZER_FILE = "tokenizer.json"
SPECIAL = (
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|video_pad|>",
    "<|image_pad|>",
)
_MARKER = re.compile(r"<\d+\.\d seconds>\Z")
_LONGEST = 32  # tokens that may hold a marker: each digit is one, ten hours are 11
_REPORT = "this is a fault of sightlog's prompt layout, please report it"
_REMEMBERED = 1024  # texts kept with their ids: the markers of a clip length, and a few prompts


class ClipTokenizer:
    """Encodes clips for one model; `folder` holds its `tokenizer.json`. Thread-safe.

    Text is only ever text: `<|im_end|>` in a prompt, a kind or a file name is spelt out, never obeyed.
    """

    def __init__(self, folder: Path, *, outer_vision_wrap: bool = False) -> None:
        path = folder / TOKENIZER_FILE
        try:
            tokenizer, special = _load(path, path.stat().st_mtime_ns)
        except Exception as error:  # tokenizers raises bare Exception
            raise DescribeError(
                f"cannot read the model's {str(path)!r}: {error}; download the model folder again"
            ) from error
        missing = [name for name in SPECIAL if name not in special]
        if missing:
            raise DescribeError(f"{str(path)!r} lacks {', '.join(missing)}; choose a Qwen3-VL model")
        self._start, self._end, self._vision_start, self._vision_end, self.video_pad, self._image_pad = (
            special[name] for name in SPECIAL
        )
        self._special = frozenset(special.values())
        self._wrap = outer_vision_wrap
        self._text = lru_cache(_REMEMBERED)(
            lambda text: tuple(tokenizer.encode(text, add_special_tokens=False).ids)
        )
        self._read = lru_cache(_REMEMBERED)(
            lambda ids: str(tokenizer.decode(list(ids), skip_special_tokens=False))
        )

    def encode(self, prompt: Prompt, clip: Clip, tokens_per_pair: int) -> list[int]:
        """Returns the ids of the whole chat, each pair of frames as `tokens_per_pair` picture tokens."""
        return self.lay_out(
            system=prompt.system,
            before=prompt.before,
            markers=[shown.marker for shown in in_pairs(clip)],
            tail=prompt.tail(clip),
            tokens_per_pair=tokens_per_pair,
        )

    def lay_out(
        self, *, system: str, before: str, markers: Sequence[str], tail: str, tokens_per_pair: int
    ) -> list[int]:
        """Returns the ids of a chat with a video shown as `tokens_per_pair` picture tokens after each marker.

        They equal those of the written-out chat: texts are encoded whole, from special token to special.
        """
        text, first, *rest = self._text, *markers
        pictures = [self._vision_start, *[self.video_pad] * tokens_per_pair, self._vision_end]
        ids = [self._start, *text(f"system\n{system}"), self._end, *text("\n"), self._start]
        if self._wrap:
            ids += [*text(f"user\n{before}"), self._vision_start, *text(first), *pictures]
        else:
            # together: the end of `before` and the "<" may be one token
            ids += [*text(f"user\n{before}{first}"), *pictures]
        for marker in rest:
            ids += text(marker)
            ids += pictures
        if self._wrap:
            ids.append(self._vision_end)
        ids += [*text(tail), self._end, *text("\n"), self._start, *text("assistant\n")]
        return ids

    def read_markers(self, ids: Sequence[int]) -> list[str]:
        """Returns the time that stands before each pair's pictures, decoded from `ids`: `<1.3 seconds>`.

        Raises DescribeError when pictures stand there without one.
        """
        array = np.asarray(ids)
        markers = []
        for at in np.flatnonzero((array[:-1] == self._vision_start) & (array[1:] == self.video_pad)).tolist():
            text = self._read(tuple(_last_text(ids[max(0, at - _LONGEST) : at], self._special)))
            found = _MARKER.search(text)
            if found is None:
                raise DescribeError(
                    f"the pictures at token {at} have no time before them but {text[-20:]!r}; {_REPORT}"
                )
            markers.append(found.group())
        return markers

    def check(self, ids: Sequence[int], shown: Sequence[Shown], tokens_per_pair: int) -> None:
        """Raises DescribeError unless `ids` show exactly these pairs, each under its own true time.

        Read from the ids, not from what was meant to be written.
        """
        array = np.asarray(ids)
        markers = self.read_markers(ids)
        wanted = [one.marker for one in shown]
        if markers != wanted:
            raise DescribeError(f"the prompt tells the times {markers}, the clip has {wanted}; {_REPORT}")
        pads = np.flatnonzero(array == self.video_pad)
        runs = np.split(pads, np.flatnonzero(np.diff(pads) != 1) + 1)
        lengths = [len(run) for run in runs]
        if lengths != [tokens_per_pair] * len(wanted) or bool((array == self._image_pad).any()):
            raise DescribeError(
                f"the prompt holds {lengths} picture tokens, the clip {len(wanted)} pairs of "
                f"{tokens_per_pair}; {_REPORT}"
            )


@lru_cache(4)
def _load(path: Path, changed_ns: int) -> tuple[Any, dict[str, int]]:
    """Returns the tokenizer without its special tokens, and their ids; takes half a second."""
    from tokenizers import Tokenizer

    del changed_ns  # part of the key
    content = json.loads(path.read_bytes())
    special = {token["content"]: int(token["id"]) for token in content["added_tokens"]}
    # without them nothing in a text can become one; they are set by id, between the texts
    content["added_tokens"] = []
    return Tokenizer.from_str(json.dumps(content)), special


def _last_text(ids: Sequence[int], special: frozenset[int]) -> Sequence[int]:
    """Returns what stands behind the last special token of `ids`."""
    for at in range(len(ids) - 1, -1, -1):
        if ids[at] in special:
            return ids[at + 1 :]
    return ids
