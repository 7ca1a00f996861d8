"""Questions that give numbers are answered by computing, not by quoting: convolution sizes and training steps.

A wrong figure is worse than none: whatever is not plainly one layer and one input, or one dataset and one batch size,
is left to the entries.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from coach.knowledge import Entry

CONVOLUTION = "convolution-output-size"
EPOCHS = "epoch-iteration-batch"
LARGEST = 10**12  # no dataset and no image is larger; what is, was typed to see what happens

_START = r"(?<![\w.,×*-])"
_WHOLE = r"(\d{1,3}(?:,\d{3})+|\d{1,13})(?![\d.]*\d)"
_BY = r"\s*(?:x|×|by|\*)\s*"
_PAIR = rf"{_START}(\d{{1,13}}){_BY}(\d{{1,13}})(?:{_BY}\d{{1,13}})?(?![\d.]*\d)"
_IS = r"\s*(?:of|is|=|:|with|by)?\s*"

_NO_KERNEL = r"(?:image|input|picture|photo|frame|map|feature|(?:with|and|using|through|by|of|has|for|on|under|via)\b)"

_KERNEL = re.compile(
    rf"{_PAIR}\s*(?:(?!{_NO_KERNEL})[a-z-]+\s+)?"
    r"(?:kernels?|filters?|conv(?:olution(?:al)?)?s?|windows?|masks?|(?:max-?|average-?|avg-?)?pool(?:ing)?)\b"
    rf"|\b(?:kernels?|filters?|windows?|pool(?:ing)?)(?:\s+sizes?)?{_IS}(?:sizes?{_IS})?{_PAIR}"
    rf"|\b(?:kernels?|filters?|windows?|pool(?:ing)?)(?:\s+sizes?)?{_IS}(?:sizes?{_IS})?{_WHOLE}"
    rf"|\b[fk]\s*=\s*{_WHOLE}",
    re.IGNORECASE,
)
_STRIDE = re.compile(rf"\bstrides?\s*(?:of|is|=|:)?\s*{_WHOLE}(?!{_BY}\d)|\bs\s*=\s*{_WHOLE}", re.IGNORECASE)
_PADDING = re.compile(rf"\b(?:zero[- ])?pad(?:ding|ded)?{_IS}{_WHOLE}(?!{_BY}\d)|\bp\s*=\s*{_WHOLE}", re.IGNORECASE)
_DILATION = re.compile(rf"\bdilat(?:ion|ed)\s*(?:rate\s*)?{_IS}{_WHOLE}|\bd\s*=\s*{_WHOLE}", re.IGNORECASE)
_FILTERS = re.compile(
    rf"{_START}{_WHOLE}(?=\s+(?:(?:filters|kernels|output channels|feature maps)\b|{_PAIR}\s*(?:filters|kernels)\b))",
    re.IGNORECASE,
)
_GIVEN = re.compile(r"\b(?:strides?|pad(?:ding|ded)|dilation)\s*(?:of|is|=|:|by|with)?\s*\d", re.IGNORECASE)
_SAME = re.compile(r"\bsame['\"]?[- ]padd|\bpadd(?:ing|ed)\s*(?:=|is|:)?\s*['\"]?same\b", re.IGNORECASE)
_CALL = re.compile(
    r"\b(?:nn\.)?conv2d\(\s*(?:in_channels\s*=\s*)?\d+\s*,\s*(?:out_channels\s*=\s*)?(\d+)\s*,"
    r"\s*(?:kernel_size\s*=\s*)?(\d+)\s*,?([^()]*)\)",
    re.IGNORECASE,
)
_AFTER_KERNEL = ("stride", "padding", "dilation")  # in the order in which PyTorch takes them
_POOLING = re.compile(r"\bpool(?:ing|ed)?\b", re.IGNORECASE)
_INPUT = re.compile(
    rf"{_PAIR}|(?:\b(?:inputs?|images?)(?:\s+(?:size|width))?{_IS}|\b[nwi]\s*=\s*){_WHOLE}(?!{_BY}\d)", re.IGNORECASE
)
_IMAGE_AFTER = re.compile(
    r"\s*(?:[a-z-]+\s+)?(?:images?|inputs?|pictures?|photos?|frames?|(?:feature\s+)?maps?)\b", re.I
)
_IMAGE_BEFORE = re.compile(
    r"\b(?:images?|inputs?|pictures?|photos?|frames?|maps?)\s*(?:size\s*)?(?:of|is|=|:)?\s*$", re.I
)
# Several layers, three dimensions, layers that enlarge, and questions about weights follow other formulas.
_OTHER_FORMULA = re.compile(
    r"\btranspos|\bdeconv|\bupsampl|\b3-?d\b|\bthen\b|\bfollowed by\b|\bafter that\b|\bceil(?:ing)?[_ ]mode\b"
    r"|\b(?:two|three|four|five|several|stack(?:ed|ing)?|[2-9])\s+(?:\w+\s+){0,2}?(?:\d+\s*[x×]\s*\d+\s+)?"
    r"(?:conv\w*|layers|pool\w*)\b",
    re.IGNORECASE,
)
_WEIGHTS = re.compile(r"\b(?:parameters?|params|weights|flops|multipl\w+|macs)\b", re.IGNORECASE)

_AMOUNT = r"(\d{1,3}(?:[, ]\d{3})+|\d{1,13}(?:\.\d{1,6})?)\s*(k|m|thousand|million)?\b(?![.,]?\d)"
_ITEMS = (
    r"(?:samples?|images?|examples?|rows?|records?|sentences?|data ?points?|observations?|documents?|items?|instances?|"
    r"pictures?|photos?)"
)
_SAMPLES = re.compile(
    rf"{_START}{_AMOUNT}\s*(?:(?!(?:of|on|and|with|for|per|in|over|to|from|using|has|have|is|are|at|by|the|an?)\b)"
    rf"[a-z-]+\s+){{0,2}}?{_ITEMS}\b"
    rf"|\b(?:data ?set|training set|corpus|n)(?:\s+size)?\s*(?:of|is|=|:|has|with|contains|holds)?\s*{_AMOUNT}",
    re.IGNORECASE,
)
_BATCH = re.compile(
    rf"(?<![\w-])(?:bs|(?:mini-?)?batch(?:es)?(?:[ _-]?sizes?)?)\s*(?:of|is|=|:|with)?\s*{_WHOLE}(?:\s+{_ITEMS}\b)?"
    rf"|{_START}{_WHOLE}\s+(?:{_ITEMS}\s+)?(?:per|a|in a|in each)\s+(?:mini-?)?batch\b",
    re.IGNORECASE,
)
_EPOCHS = re.compile(rf"{_START}{_WHOLE}\s+epochs?\b|\bepochs?\s*(?:=|:)\s*{_WHOLE}", re.IGNORECASE)
_STEPS = re.compile(r"\b(?:iterations?|steps?|updates?|batches)\b", re.IGNORECASE)
_SHARED_BATCH = re.compile(r"\b(?:gpus?|tpus?|devices|workers|nodes|accumulat\w*)\b", re.IGNORECASE)
_THOUSANDS = {"": 1, "k": 10**3, "thousand": 10**3, "m": 10**6, "million": 10**6}


@dataclass(frozen=True)
class Worked:
    """A computed answer and the entry whose formula it uses."""

    text: str
    entry: str


def worked_answer(question: str, entries: Sequence[Entry]) -> Worked | None:
    """The computed answer when a question gives the numbers that an entry's formula needs, else None."""
    ids = {entry.id for entry in entries}
    for key, work in ((CONVOLUTION, _convolution), (EPOCHS, _iterations)):
        text = work(question) if key in ids else ""
        if text:
            return Worked(text, key)
    return None


def output_size(size: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> int:
    """floor((N + 2P - D(F - 1) - 1) / S) + 1 (Dumoulin and Visin 2016, arXiv:1603.07285)."""
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def _numbers(match: re.Match[str]) -> tuple[int, ...]:
    return tuple(int(group.replace(",", "")) for group in match.groups() if group)


def _taken(pattern: re.Pattern[str], text: str) -> tuple[tuple[int, ...], str]:
    """The numbers of a pattern's first match, and the text with every match blanked out, so that none counts twice."""
    match = pattern.search(text)
    return (() if match is None else _numbers(match)), pattern.sub(lambda found: " " * len(found.group()), text)


def _in_words(call: re.Match[str]) -> str:
    """PyTorch's `Conv2d(in, out, kernel, …)` said in words."""
    names = iter(_AFTER_KERNEL)
    said = [f"{call.group(1)} filters", f"kernel {call.group(2)}"]
    for argument in call.group(3).split(","):
        name, equals, value = argument.rpartition("=")
        name = name.strip().lower() if equals else next(names, "") if argument.strip() else ""
        value = value.strip(" '\"")
        if name in _AFTER_KERNEL and value != "valid":
            if not value.isdigit() and value != "same":
                return call.group()  # what is not understood is left as it is, and not computed
            said.append(f"{name} {value}")
    return ", ".join(said) + " "


def _convolution(question: str) -> str:
    question = _CALL.sub(_in_words, question)
    if _OTHER_FORMULA.search(question) or (_WEIGHTS.search(question) and "output" not in question.lower()):
        return ""
    filters, rest = _taken(_FILTERS, question)
    if len({_numbers(match) for match in _KERNEL.finditer(rest)}) != 1:
        return ""
    kernels, rest = _taken(_KERNEL, rest)
    strides, rest = _taken(_STRIDE, rest)
    paddings, rest = _taken(_PADDING, rest)
    dilations, rest = _taken(_DILATION, rest)
    size = _input(rest)
    if size is None or _GIVEN.search(rest):  # a number that was given in a form not understood, such as "stride 2x1"
        return ""
    kernel = (kernels[0], kernels[-1])
    default = kernel if _POOLING.search(question) else (1, 1)
    stride = (strides[0], strides[0]) if strides else default
    padding, dilation = (paddings or (0,))[0], (dilations or (1,))[0]
    if min(stride) < 1 or min(kernel) < 1 or dilation < 1 or min(size) < 1:
        return "With your numbers there is no output: size, kernel, stride and dilation each have to be at least 1."
    said = "" if strides or default == (1, 1) else " (taking the window's size as the stride, as is usual in pooling)"
    if _SAME.search(question):
        rows, columns = (-(-n // s) for n, s in zip(size, stride, strict=True))
        steps = f"stride {stride[0]}"
        return f'With "same" padding and {steps} the output is {rows}×{columns}, that is ceil(N / S) each way{said}.'
    spans = tuple(dilation * (k - 1) + 1 for k in kernel)
    for wide, span in zip((n + 2 * padding for n in size), spans, strict=True):
        if span > wide:
            return f"With your numbers there is no output: the kernel spans {span:,}, the padded input {wide:,}."
    rows, columns = (output_size(n, k, s, padding, dilation) for n, k, s in zip(size, kernel, stride, strict=True))
    channels = filters[0] if filters else 0
    shape = f"{rows}×{columns}" + (f"×{channels}" if channels else "")
    spread = f"{dilation}·({kernel[0]} − 1) − 1" if dilation > 1 else f"{kernel[0]}"
    square = size[0] == size[1] and kernel[0] == kernel[1]
    return (
        f"With your numbers the output is {shape}: "
        f"floor(({size[0]} + 2·{padding} − {spread}) / {stride[0]}) + 1 = {rows}"
        + ("" if square else f" rows, and in the same way {columns} columns")
        + (f", for each of the {channels} filters" if channels else "")
        + f"{said}."
    )


def _input(text: str) -> tuple[int, int] | None:
    """Height and width of the one input that a text names, or None when it names none or several."""
    found = list(_INPUT.finditer(text))
    if len({_numbers(match) for match in found}) > 1:
        marked = [m for m in found if _IMAGE_AFTER.match(text, m.end()) or _IMAGE_BEFORE.search(text[: m.start()])]
        found = marked if len({_numbers(match) for match in marked}) == 1 else []
    if not found:
        return None
    numbers = _numbers(found[0])
    return numbers[0], numbers[-1]


def _iterations(question: str) -> str:
    if not _STEPS.search(question) or _SHARED_BATCH.search(question):
        return ""
    batches, rest = _taken(_BATCH, question)
    epochs, rest = _taken(_EPOCHS, rest)
    _, rest = _taken(re.compile(_PAIR), rest)
    samples = _samples(rest)
    if samples is None or not 1 <= samples <= LARGEST or not batches or batches[0] < 1:
        return ""
    batch = batches[0]
    steps = -(-samples // batch)
    text = f"With your numbers one epoch takes ceil({samples:,} / {batch:,}) = {_count(steps, 'iteration')}"
    last = samples % batch
    if last and steps > 1:
        text += f" (the last batch holds {_count(last, 'sample')}; dropping it leaves {samples // batch:,})"
    if epochs and epochs[0] > 1:
        text += f", so {epochs[0]:,} epochs take {_count(steps * epochs[0], 'iteration')}"
    return text + "."


def _samples(text: str) -> int | None:
    match = _SAMPLES.search(text)
    if match is None:
        return None
    number, unit = (match.group(1), match.group(2)) if match.group(1) else (match.group(3), match.group(4))
    value = float(re.sub(r"[ ,]", "", number)) * _THOUSANDS[(unit or "").lower()]
    return int(value) if value.is_integer() else None


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
