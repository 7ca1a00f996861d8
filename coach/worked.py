"""Questions that give numbers are answered by computing, not by quoting: convolution sizes and training steps."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from coach.knowledge import Entry

_NUMBER = r"(\d+(?:[ ,]\d{3})*)"
_SIZE = re.compile(rf"\b{_NUMBER}\s*(?:x|×|by|\*)\s*{_NUMBER}(?:\s*(?:x|×|by|\*)\s*{_NUMBER})?", re.IGNORECASE)
_KERNEL = re.compile(
    rf"\b{_NUMBER}\s*(?:x|×|by|\*)\s*\d+\s*(?:\w+\s+)?(?:kernel|filter|conv\w*|window|mask)"
    rf"|(?:kernel|filter|window)s?(?:\s+size)?(?:\s+of)?(?:\s+size)?\s*(?:is|=|:)?\s*{_NUMBER}",
    re.IGNORECASE,
)
_STRIDE = re.compile(rf"\bstrides?\s*(?:of|is|=|:|s)?\s*{_NUMBER}|\bs\s*=\s*{_NUMBER}", re.IGNORECASE)
_PADDING = re.compile(
    rf"\b(?:zero[- ])?pad(?:ding|ded)?\s*(?:of|is|=|:|by|with)?\s*{_NUMBER}|\bp\s*=\s*{_NUMBER}", re.IGNORECASE
)
_SAME = re.compile(r"['\"]?\bsame\b['\"]?[- ]padding|padding\s*=?\s*['\"]same", re.IGNORECASE)
_DILATION = re.compile(rf"\bdilation\s*(?:of|is|=|:|rate)?\s*{_NUMBER}", re.IGNORECASE)
_FILTERS = re.compile(rf"\b{_NUMBER}\s+(?:filters|kernels|output channels|feature maps)", re.IGNORECASE)
_SAMPLES = re.compile(
    rf"\b{_NUMBER}\s*(k)?\s*(?:\w+\s+){{0,2}}?(?:samples?|images?|examples?|rows?|records?|sentences?|data ?points?|"
    rf"observations?|documents?|items?|instances?|pictures?|photos?)\b"
    rf"|(?:dataset|data set|training set|n)\s*(?:of|is|=|has|with|size)*\s*{_NUMBER}\s*(k)?\b",
    re.IGNORECASE,
)
_BATCH = re.compile(
    rf"\b(?:mini-?)?batch(?:es)?[- ]?(?:size)?s?\s*(?:of|is|=|:|size|with)?\s*(?:of|is|=|:)?\s*{_NUMBER}"
    rf"|\b{_NUMBER}\s+(?:per|a|in a|samples per|images per|examples per)\s+(?:mini-?)?batch\b",
    re.IGNORECASE,
)
_EPOCHS = re.compile(rf"\b{_NUMBER}\s+epochs?\b|\bepochs?\s*(?:=|:)\s*{_NUMBER}", re.IGNORECASE)
_STEPS = re.compile(r"\b(?:iterations?|steps?|updates?|batches)\b", re.IGNORECASE)

CONVOLUTION = "convolution-output-size"
EPOCHS = "epoch-iteration-batch"


@dataclass(frozen=True)
class Worked:
    """A computed answer and the entry whose formula it uses."""

    text: str
    entry: str


def worked_answer(question: str, entries: Sequence[Entry]) -> Worked | None:
    """The computed answer when a question gives the numbers that an entry's formula needs, else None."""
    ids = {entry.id for entry in entries}
    if CONVOLUTION in ids or "cnn" in ids:
        text = _convolution(question)
        if text and CONVOLUTION in ids:
            return Worked(text, CONVOLUTION)
    if EPOCHS in ids:
        text = _iterations(question)
        if text:
            return Worked(text, EPOCHS)
    return None


def output_size(size: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> int:
    """floor((N + 2P - D(F - 1) - 1) / S) + 1 (Dumoulin and Visin 2016, arXiv:1603.07285)."""
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def _first(match: re.Match[str] | None) -> int | None:
    if match is None:
        return None
    for group in match.groups():
        if group and group[0].isdigit():
            return int(re.sub(r"[ ,]", "", group))
    return None


def _convolution(question: str) -> str:
    kernel = _first(_KERNEL.search(question))
    sizes = [(_whole(m.group(1)), _whole(m.group(2))) for m in _SIZE.finditer(question)]
    kernel_match = _KERNEL.search(question)
    inputs = [
        size
        for m, size in zip(_SIZE.finditer(question), sizes, strict=True)
        if kernel_match is None or not kernel_match.start() <= m.start() < kernel_match.end()
    ]
    if not inputs or kernel is None:
        return ""
    height, width = inputs[0]
    stride = _first(_STRIDE.search(question)) or 1
    dilation = _first(_DILATION.search(question)) or 1
    if _SAME.search(question):
        rows, columns = (-(-n // stride) for n in (height, width))
        return f'With "same" padding and stride {stride} the output is {rows}×{columns}, that is ceil(N / S) each way.'
    padding = _first(_PADDING.search(question)) or 0
    if kernel < 1 or stride < 1 or dilation * (kernel - 1) + 1 > min(height, width) + 2 * padding:
        return ""
    rows, columns = (output_size(n, kernel, stride, padding, dilation) for n in (height, width))
    spread = f"{dilation}·({kernel} − 1) − 1" if dilation > 1 else f"{kernel}"
    filters = _first(_FILTERS.search(question))
    shape = f"{rows}×{columns}" + (f"×{filters}" if filters else "")
    return (
        f"With your numbers the output is {shape}: "
        f"floor(({height} + 2·{padding} − {spread}) / {stride}) + 1 = {rows}"
        + ("" if height == width else f" rows, and in the same way {columns} columns")
        + (f", for each of the {filters} filters." if filters else ".")
    )


def _whole(text: str) -> int:
    return int(re.sub(r"[ ,]", "", text))


def _iterations(question: str) -> str:
    match = _SAMPLES.search(question)
    samples = _first(match)
    batch = _first(_BATCH.search(question))
    if samples is None or batch is None or batch < 1 or not _STEPS.search(question):
        return ""
    if match and any(group in ("k", "K") for group in match.groups() if group):
        samples *= 1000
    steps = math.ceil(samples / batch)
    text = f"With your numbers one epoch takes ceil({samples:,} / {batch:,}) = {steps:,} iterations"
    rest = samples % batch
    if rest:
        text += f" (the last batch holds {rest:,} samples; dropping it leaves {samples // batch:,})"
    epochs = _first(_EPOCHS.search(question))
    if epochs and epochs > 1:
        text += f", so {epochs:,} epochs take {steps * epochs:,} iterations"
    return text + "."
