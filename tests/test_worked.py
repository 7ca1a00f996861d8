"""Worked answers: right against torch and against counting, and silent wherever another formula applies."""

from __future__ import annotations

import re
import time
from itertools import product

import pytest
import torch
from torch import nn

from coach.knowledge import Entry
from coach.worked import CONVOLUTION, EPOCHS, output_size, worked_answer

BOTH = (Entry(CONVOLUTION, "q", "a"), Entry(EPOCHS, "q", "a"))


def said(question: str) -> str:
    worked = worked_answer(question, BOTH)
    return "" if worked is None else worked.text


def test_the_formula_is_what_torch_computes() -> None:
    for size, kernel, stride, padding, dilation in product((7, 16, 33), (1, 3, 5), (1, 2, 3), (0, 1, 4), (1, 2)):
        if dilation * (kernel - 1) + 1 > size + 2 * padding:
            continue
        layer = nn.Conv1d(1, 1, kernel, stride, padding, dilation)
        assert output_size(size, kernel, stride, padding, dilation) == layer(torch.zeros(1, 1, size)).shape[-1]


@pytest.mark.parametrize(
    ("question", "shape"),
    [
        ("32x32 image, 5x5 kernel, stride 1, no padding: output size?", "28×28"),
        ("what comes out of a 224 x 224 x 3 image after 64 filters of 7x7, stride 2, padding 3", "112×112×64"),
        ("224×224×3 input, 64 7×7 filters, stride=2, padding=3", "112×112×64"),
        ("6x6 image convolved with a 3x3 filter", "4×4"),
        ("nn.Conv2d(3, 64, 7, stride=2, padding=3) on 224x224", "112×112×64"),
        ("Conv2d(3, 64, 7, 2, 3) on a 224x224 image", "112×112×64"),
        ("nn.Conv2d(1, 8, kernel_size=5, bias=False) on a 28x28 input", "24×24×8"),
        ("nn.Conv2d(1, 8, 5, padding='same') on a 28x28 input", "28×28"),
        ("a 64 by 64 image, kernel size 4, stride of 2 and padding of 1", "32×32"),
        ("N=28, F=5, S=1, P=2", "28×28"),
        ("input size 28, kernel 3, dilation 2", "24×24"),
        ("1x1 convolution on 56x56x256 with 64 filters", "56×56×64"),
        ("32x64 image with a 3x3 kernel", "30×62"),
        ("32x32 image with a 3x5 kernel", "30×28"),
        ("32x32 image with a 3x3 kernel, same padding, stride 2", "16×16"),
        ("a 5x5 depthwise convolution over a 28x28 feature map", "24×24"),
        ("2x2 max pooling on a 24x24 feature map", "12×12"),
        ("max pooling with a 3x3 window and stride 2 on 13x13", "6×6"),
        ("why is the output 112x112 for an input of 224x224 and a 7x7 kernel, stride 2, padding 3?", "112×112"),
    ],
)
def test_convolution(question: str, shape: str) -> None:
    text = said(question)
    assert re.search(rf"output is {shape}(?![×\d])", text), text


def test_the_shown_calculation_is_right_as_written() -> None:
    text = said("224x224x3 with 64 filters of 7x7, stride 2, padding 3")
    shown = re.search(r"floor\((.+)\) \+ 1 = (\d+)", text)
    assert shown is not None
    formula = shown.group(1).replace("·", "*").replace("−", "-").replace("/", "//")
    assert eval(formula) + 1 == int(shown.group(2))


@pytest.mark.parametrize(
    ("question", "why"),
    [
        ("5x5 image and a 7x7 kernel", "spans 7"),
        ("8x8 image, 3x3 kernel, dilation 5", "spans 11"),
        ("28x28 image, 3x3 kernel, stride 0", "at least 1"),
        ("28x28 image, 3x3 kernel, same padding, stride 0", "at least 1"),
        ("28x28 image, 0x0 kernel", "at least 1"),
        ("0x0 image, 3x3 kernel", "at least 1"),
    ],
)
def test_what_cannot_be_computed_is_said(question: str, why: str) -> None:
    assert "there is no output" in said(question)
    assert why in said(question)


@pytest.mark.parametrize(
    "question",
    [
        "what is the output size of a convolution?",
        "a 3x3 kernel",
        "a 32x32 image",
        "nn.Conv2d(3, 64, 3, padding=p) on 224x224",
        "nn.Conv2d(3, 64, 3, (2, 1)) on 224x224",
        "a transposed convolution with a 4x4 kernel, stride 2, padding 1 on 16x16",
        "upsampling 16x16 with a 4x4 kernel",
        "two 3x3 convolutions on a 32x32 image",
        "32x32 image, 3x3 conv then 2x2 pooling",
        "32x32 image, a 5x5 kernel and a 3x3 kernel",
        "16x112x112 input with a 3D convolution, 3x3x3 kernel",
        "how many parameters have 64 3x3 filters on a 32x32x3 image",
        "32x32 image, 3x3 kernel, stride 0.5",
        "32x32 image, 3x3 kernel, stride 2x1",
        "32x32 image, 3x3 kernel, padding 1.5",
        "32x32 and 64x64 with a 3x3 kernel",
    ],
)
def test_whatever_is_not_one_plain_layer_is_left_to_the_entries(question: str) -> None:
    assert said(question) == ""


@pytest.mark.parametrize(
    ("question", "samples", "batch"),
    [
        ("1000 samples and a batch size of 32, how many iterations?", 1000, 32),
        ("batch size 32 and 1000 samples, how many iterations?", 1000, 32),
        ("batch size of 32 on 1,000 images: how many steps per epoch", 1000, 32),
        ("60000 training images of 28x28 with batch_size=64, how many updates per epoch?", 60000, 64),
        ("N=1,000, bs=100, 5 epochs: total weight updates?", 1000, 100),
        ("60 000 images, batch size 64, iterations?", 60000, 64),
        ("50k images, batch size 128, how many iterations", 50000, 128),
        ("1M images, batch size 100, how many iterations", 10**6, 100),
        ("1.2 million samples, batch 256, steps per epoch", 1200000, 256),
        ("iterations for a dataset of 1000 with mini-batches of 100", 1000, 100),
        ("how many steps are 1000 images with 32 per batch", 1000, 32),
        ("how many updates per epoch for 10 images and batch size 16", 10, 16),
        ("epoch-iteration-batch 1,000 samples with batch size 50, iterations?", 1000, 50),
        ("28x28 images, 60000 of them: n = 60000, batch size 32, iterations?", 60000, 32),
    ],
)
def test_iterations(question: str, samples: int, batch: int) -> None:
    steps = len(range(0, samples, batch))
    noun = "iteration" if steps == 1 else "iterations"
    assert f"ceil({samples:,} / {batch:,}) = {steps:,} {noun}" in said(question)


def test_the_last_batch_and_the_epochs_are_told() -> None:
    text = said("50k images, batch size 128, how many iterations for 10 epochs")
    assert "the last batch holds 80 samples; dropping it leaves 390" in text
    assert "10 epochs take 3,910 iterations" in text
    assert "last batch" not in said("1000 samples, batch size 100, iterations")


@pytest.mark.parametrize(
    "question",
    [
        "1000 samples, batch size 0, how many iterations",
        "0 samples, batch size 10, how many iterations",
        "1000 samples, batch size 2.5, how many iterations",
        "1000 samples, how many iterations",
        "batch size 32, how many iterations",
        "1000 samples and batch size 32",
        "1000 samples, batch size 32 on each of 4 GPUs, how many iterations",
        "1000 samples, batch size 32, gradient accumulation over 4 steps, how many updates",
        "9" * 30 + " samples, batch size 7, iterations",
    ],
)
def test_what_is_not_one_dataset_and_one_batch_size_is_left_to_the_entries(question: str) -> None:
    assert said(question) == ""


def test_the_formula_of_an_entry_that_is_not_there_is_not_used() -> None:
    assert worked_answer("6x6 image, 3x3 kernel", BOTH[1:]) is None
    assert worked_answer("1000 samples, batch size 10, iterations", BOTH[:1]) is None


def test_the_answer_names_the_entry_whose_formula_it_used() -> None:
    found = [worked_answer("6x6 image, 3x3 kernel", BOTH), worked_answer("10 samples, batch size 5, steps", BOTH)]
    assert [worked.entry for worked in found if worked is not None] == [CONVOLUTION, EPOCHS]


def test_no_question_of_the_entries_is_computed_by_accident(entries: tuple[Entry, ...]) -> None:
    for entry in entries:
        if entry.id in (CONVOLUTION, EPOCHS, "cnn"):
            continue
        for text in (entry.question, *entry.aliases, *(f.question for f in entry.follow_ups)):
            assert worked_answer(text, BOTH) is None, text


@pytest.mark.parametrize(
    "text",
    ["9" * 100_000 + "x32 kernel 3", "9" * 100_000 + " samples, batch size 7, iterations", "1 x" * 33_000,
     "1 " * 50_000, "batch " * 16_000, "1 000" * 20_000, "3x3 filter " * 9_000, "a " * 50_000, "🎉" * 100_000],
    ids=range(9),
)  # fmt: skip
def test_a_hundred_thousand_characters_take_little_time_and_no_nonsense(text: str) -> None:
    began = time.process_time()
    answer = said(text)
    assert time.process_time() - began < 2.0
    assert len(answer) < 400
