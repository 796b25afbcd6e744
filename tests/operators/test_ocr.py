"""Reading pictures: English and Chinese, the same answer whatever was read before."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import numpy as np
import pytest

from operators.ocr import OcrSettings, TextReader, why_unavailable
from tests.operators.written import page


@pytest.fixture(scope="module")
def reader() -> Iterator[TextReader]:
    reader = TextReader()
    reader.setup()
    yield reader
    reader.close()


def test_text_can_be_read_on_this_machine() -> None:
    assert why_unavailable() is None


def test_english_and_chinese_lines_are_read_with_their_places(reader: TextReader) -> None:
    image = page(("Warehouse gate 3 closed", 40, 80), ("仓库三号门已经关闭", 300, 250))
    lines = reader.read(image)
    assert [line.text for line in lines] == ["Warehouse gate 3 closed", "仓库三号门已经关闭"]
    (x0, y0, x1, y1), (u0, v0, u1, v1) = (line.box for line in lines)
    assert 30 <= x0 <= 42
    assert y0 < 64 < 80 < y1 < 95
    assert 290 <= u0 <= 302
    assert v0 < 230 < 250 < v1 < 265
    assert x1 > 280
    assert u1 > 500
    assert all(line.score > 0.9 for line in lines)


@pytest.mark.parametrize("size", [12, 16, 24, 48])
def test_small_and_large_letters_are_read(reader: TextReader, size: int) -> None:
    assert [line.text for line in reader.read(page(("Device Activation", 30, 200), size=size))] == [
        "Device Activation"
    ]


def test_light_letters_on_dark_ground_are_read(reader: TextReader) -> None:
    assert [line.text for line in reader.read(255 - page(("Success", 30, 200)))] == ["Success"]


@pytest.mark.parametrize("shape", [(360, 640), (20, 20), (1, 1), (7, 300)])
def test_an_empty_picture_of_any_shape_holds_no_text(reader: TextReader, shape: tuple[int, int]) -> None:
    assert reader.read(np.full(shape, 128, np.uint8)) == []


def test_an_answer_does_not_depend_on_what_was_read_before() -> None:
    image = page(("one line", 40, 80), ("another, much longer line of text", 40, 200))
    fresh, used = TextReader(OcrSettings(remembered=0)), TextReader()
    used.read(page(("something else", 40, 80)))
    assert fresh.read(image) == used.read(image) == used.read(image)
    fresh.close()
    used.close()


def test_a_reader_can_be_pickled_before_setup_and_closed_twice() -> None:
    copy = pickle.loads(pickle.dumps(TextReader(OcrSettings(remembered=7))))
    assert copy.settings.remembered == 7
    copy.close()
    copy.close()
