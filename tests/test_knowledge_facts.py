"""Figures and formulas that the entries state, worked out anew and looked for in their text.

Every test computes first and reads afterwards: a figure edited in an entry, or a formula bent, fails here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from itertools import pairwise, product

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from coach.config import BUILT_IN_KNOWLEDGE
from coach.knowledge import Entry, load_entries
from coach.sentences import split_sentences

ENTRIES = {entry.id: entry for entry in load_entries(BUILT_IN_KNOWLEDGE)}
NUMBER = re.compile(r"\d+(?:(?:,|\{,\})\d{3})*(?:\.\d+)?")


def statements(entry: Entry) -> Iterator[str]:
    """Every sentence that the entry asserts; false claims and questions are left out."""
    yield from split_sentences(entry.answer)
    for point in entry.key_points:
        yield from (point.text, point.why)
    for wrong in entry.misconceptions:
        yield wrong.correction
    for follow_up in entry.follow_ups:
        yield from follow_up.expects
    yield from entry.facts


def stated(key: str, *needles: str) -> str:
    """The statements of one entry that contain every needle, joined; fails where there is none."""
    found = [text for text in statements(ENTRIES[key]) if all(needle.lower() in text.lower() for needle in needles)]
    assert found, f"{key} no longer says anything with {needles}"
    return " ".join(found)


def figures(text: str) -> set[float]:
    """All numbers in a text, thousands separators understood."""
    return {float(number.replace("{,}", "").replace(",", "")) for number in NUMBER.findall(text)}


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def on_meta(layer: type[nn.Module], *args: object, **kwargs: object) -> nn.Module:
    """A layer with shapes but no memory."""
    with torch.device("meta"):
        return layer(*args, **kwargs)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def test_all_thirty_are_there() -> None:
    assert sorted(entry.number for entry in ENTRIES.values() if entry.number) == list(range(1, 31))


def test_every_sentence_can_be_quoted_alone() -> None:
    # The coach quotes single sentences, so none may begin by pointing back at another one.
    pointing_back = ("It ", "This ", "They ", "These ", "That ", "Such ", "Its ", "Their ", "Here ")
    for key, entry in ENTRIES.items():
        for text in statements(entry):
            assert not text.startswith(pointing_back), f"{key}: {text}"


# --- 21 epoch, iteration, batch ---


def test_iterations_per_epoch() -> None:
    kept, dropped = (DataLoader(range(1_281_167), batch_size=256, drop_last=drop) for drop in (False, True))
    imagenet = stated("epoch-iteration-batch", "1,281,167")
    assert {len(kept), len(dropped)} <= figures(imagenet)
    loader = DataLoader(range(50_000), batch_size=128)
    example = stated("epoch-iteration-batch", "50,000 images with a batch size of 128")
    assert len(loader) == math.ceil(50_000 / 128)
    assert {len(loader), 50_000 // 128, 50_000 % 128} <= figures(example)
    assert 10 * len(loader) in figures(stated("epoch-iteration-batch", "ten epochs"))
    assert r"\lceil N / B \rceil" in stated("epoch-iteration-batch", "iterations per epoch is")


def test_gradient_accumulation_equals_the_large_batch() -> None:
    text = stated("epoch-iteration-batch", "micro-batches of 16")
    assert 4 * 16 in figures(text)
    model, x, y = nn.Linear(5, 1), torch.randn(64, 5), torch.randn(64, 1)
    F.mse_loss(model(x), y).backward()
    whole = model.weight.grad.clone()
    model.zero_grad()
    for part, target in zip(x.split(16), y.split(16), strict=True):
        (F.mse_loss(model(part), target) / 4).backward()
    torch.testing.assert_close(model.weight.grad, whole)


# --- 22 fine-tuning ---


def test_lora_parameters_and_start() -> None:
    size, rank = 4096, 8
    text = stated("fine-tuning", "LoRA at rank 8")
    assert {size * size, rank * (size + size), round(100 * rank * 2 / size, 2)} <= figures(text)
    assert "r(d_in + d_out)" in stated("fine-tuning", "two thin matrices")
    # W' = W + (alpha / r) B A, with B at zero: nothing changes at the start, and merging changes nothing later.
    assert r"W' = W + \frac{\alpha}{r} B A" in stated("fine-tuning", "low-rank update:")
    w, a, b, alpha = torch.randn(6, 4), torch.randn(2, 4), torch.zeros(6, 2), 16
    assert torch.equal(w + alpha / 2 * b @ a, w)
    b, x = torch.randn(6, 2), torch.randn(4)
    torch.testing.assert_close((w + alpha / 2 * b @ a) @ x, w @ x + alpha / 2 * b @ (a @ x))


def test_memory_of_full_fine_tuning() -> None:
    text = stated("fine-tuning", "7 billion parameters")
    weight, gradient, optimiser = 2, 2, 4 + 4 + 4  # bytes: 16-bit weight and gradient, 32-bit copy and two moments
    assert optimiser in figures(stated("fine-tuning", "bytes per parameter:"))
    assert {7 * (weight + gradient + optimiser), 7 * weight, 7 * 0.5} <= figures(text)


# --- 23 LSTM ---


def test_lstm_equations_match_torch() -> None:
    assert r"c_t = f_t \odot c_{t-1} + i_t \odot \tilde{c}_t" in stated("lstm", "cell update of an LSTM is")
    assert r"h_t = o_t \odot \tanh(c_t)" in stated("lstm", "output gate $o_t$")
    cell = nn.LSTMCell(3, 4)
    x, h, c = torch.randn(2, 3), torch.randn(2, 4), torch.randn(2, 4)
    z = x @ cell.weight_ih.T + cell.bias_ih + h @ cell.weight_hh.T + cell.bias_hh
    i, f, g, o = z.chunk(4, dim=1)
    new_c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    new_h = o.sigmoid() * new_c.tanh()
    torch.testing.assert_close((new_h, new_c), cell(x, (h, c)))


def test_lstm_and_gru_parameters() -> None:
    d, h = 128, 256
    lstm, gru = on_meta(nn.LSTM, d, h), on_meta(nn.GRU, d, h)
    assert 4 * (h * (d + h) + h) in figures(stated("lstm", "input size 128 and hidden size 256, an LSTM"))
    assert parameters(lstm) in figures(stated("lstm", "PyTorch keeps two bias vectors per block"))
    assert r"4\,(h(d + h) + h)" in stated("lstm", "input size $d$")
    assert 4 * parameters(gru) == 3 * parameters(lstm)
    assert "three quarters of the parameters" in stated("lstm", "GRU layer")


def test_gradient_along_the_cell() -> None:
    text = stated("lstm", "over 100 steps")
    assert {0.99, 0.9, round(0.99**100, 2), round(0.9**100, 5)} <= figures(text)
    assert round(1 / (1 + math.exp(-1)), 2) in figures(stated("lstm", "a bias of 1 alone"))
    f, c = torch.tensor([0.2, 0.9]), torch.randn(2, requires_grad=True)
    step = torch.autograd.functional.jacobian(lambda old: f * old + 0.3, c)
    torch.testing.assert_close(step, torch.diag(f))


# --- 24 GAN ---


def test_value_of_the_minimax_game_at_the_optimum() -> None:
    text = stated("gan", r"-\log 4 \approx")
    assert round(math.log(4), 3) in figures(text)
    p, q = torch.rand(6, dtype=torch.float64).softmax(0), torch.rand(6, dtype=torch.float64).softmax(0)
    best = p / (p + q)
    value = (p * best.log()).sum() + (q * (1 - best).log()).sum()
    middle = (p + q) / 2
    divergence = ((p * (p / middle).log()).sum() + (q * (q / middle).log()).sum()) / 2
    torch.testing.assert_close(value, 2 * divergence - math.log(4))
    assert r"$-\log 4$ plus twice the Jensen-Shannon" in stated("gan", "with the optimal discriminator")
    assert r"\frac{p_{\mathrm{data}}(x)}{p_{\mathrm{data}}(x) + p_g(x)}" in stated("gan", "optimal discriminator is")


def test_which_generator_loss_saturates() -> None:
    logit = torch.tensor(-10.0, requires_grad=True)  # the discriminator rejects the sample confidently
    (minimax,) = torch.autograd.grad(torch.log(1 - logit.sigmoid()), logit)
    (other,) = torch.autograd.grad(-torch.log(logit.sigmoid()), logit)
    assert minimax.abs() < 1e-4
    assert other.abs() > 0.99
    assert "almost no gradient" in stated("gan", r"\log(1 - D(G(z)))", "rejects")
    assert "strong gradient" in stated("gan", r"maximise $\log D(G(z))$")


# --- 25 transformer ---


def test_attention_formula_matches_torch() -> None:
    assert r"\mathrm{softmax}(QK^\top/\sqrt{d_k})\,V" in stated("transformer", "query, a key and a value")
    q, k, v = (torch.randn(2, 5, 16) for _ in range(3))
    ours = (q @ k.transpose(1, 2) / math.sqrt(16)).softmax(-1) @ v
    torch.testing.assert_close(ours, F.scaled_dot_product_attention(q, k, v))
    # without a mask, permuting the tokens permutes the outputs
    order = torch.randperm(5)
    permuted = F.scaled_dot_product_attention(q[:, order], k[:, order], v[:, order])
    torch.testing.assert_close(permuted, ours[:, order])
    # with the causal mask, a change of the last token leaves the earlier outputs alone
    masked = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    k[:, -1], v[:, -1] = 9.0, 9.0
    changed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    assert torch.equal(masked[:, :-1], changed[:, :-1])
    assert "later positions" in stated("transformer", "causal mask", "keeps each position from")


def test_why_the_dot_product_is_scaled() -> None:
    text = stated("transformer", "d_k = 64")
    assert math.sqrt(64) in figures(text)
    products = (torch.randn(100_000, 64) * torch.randn(100_000, 64)).sum(1)
    assert products.std().item() == pytest.approx(math.sqrt(64), rel=0.02)


def test_weights_of_a_transformer_block() -> None:
    d = 768
    attention, feed_forward = 4 * d * d, 2 * d * 4 * d
    assert {attention + feed_forward, attention, feed_forward} <= figures(stated("transformer", "width 768 has 7,077"))
    assert feed_forward / (attention + feed_forward) == pytest.approx(2 / 3)
    assert "two thirds" in stated("transformer", "four times the model width")
    sizes = {parameters(on_meta(nn.TransformerEncoderLayer, d, heads, 4 * d)) for heads in (1, 12)}
    assert len(sizes) == 1, "the number of heads changes nothing"
    assert sizes <= figures(stated("transformer", "with biases and two layer norm"))


# --- 27 dropout ---


def test_inverted_dropout_in_training_and_at_inference() -> None:
    layer, x = nn.Dropout(0.5), torch.full((200_000,), 3.0)
    out = layer(x)
    assert set(out.unique().tolist()) == {0.0, 6.0}
    assert 6 in figures(stated("dropout", "surviving activation of 3"))
    assert out.mean().item() == pytest.approx(3.0, rel=0.01)
    assert torch.equal(layer.eval()(x), x)
    assert "switched off" in stated("dropout", "At inference dropout is", "every unit")
    assert r"\frac{m}{1-p}\,h" in stated("dropout", "inverted dropout", r"\mathrm{Bernoulli}(1-p)")
    kept = (nn.Dropout(0.2)(x) > 0).float().mean().item()
    assert round(100 * kept) in figures(stated("dropout", "nn.Dropout(p=0.2)"))


@pytest.mark.parametrize(("p", "factor"), [(0.5, 1.0), (0.1, 0.11)])
def test_variance_of_inverted_dropout(p: float, factor: float) -> None:
    out = nn.Dropout(p)(torch.full((200_000,), 2.0, dtype=torch.float64))
    assert p / (1 - p) == pytest.approx(factor, abs=0.002)
    assert out.var().item() == pytest.approx(4 * p / (1 - p), rel=0.03)
    text = stated("dropout", r"h^2\,p/(1-p)")
    assert p in figures(text)
    assert (f"{factor}\\,h^2" if factor != 1 else f"is $h^2$ at $p = {p}$") in text


# --- 28 bias and variance ---


def test_decomposition_of_the_squared_error() -> None:
    # a world small enough to enumerate: eight training sets, two noise values
    predictions, truth, noise = torch.randn(8, dtype=torch.float64), 0.7, torch.tensor([-0.5, 0.5]).double()
    error = (truth + noise[None, :] - predictions[:, None]).square().mean()
    bias, variance = predictions.mean() - truth, predictions.var(correction=0)
    torch.testing.assert_close(error, bias**2 + variance + noise.square().mean())
    assert r"\mathrm{bias}^2 + \mathrm{variance} + \sigma^2" in stated("bias-variance", "squared error")


def test_variance_of_an_average() -> None:
    n, rho, var = 7, 0.3, 2.0
    covariance = torch.full((n, n), rho * var, dtype=torch.float64).fill_diagonal_(var)
    weights = torch.full((n,), 1 / n, dtype=torch.float64)
    assert (weights @ covariance @ weights).item() == pytest.approx(rho * var + (1 - rho) * var / n)
    assert r"\rho\sigma^2 + (1-\rho)\sigma^2/n" in stated("bias-variance", "pairwise correlation")


def test_avoidable_bias() -> None:
    text = stated("bias-variance", "avoidable bias")
    assert f"leaves {15 - 1} points of avoidable bias" in text
    assert f"only {16 - 15} point" in text


# --- 29 convolution output size ---


def output_size(n: int, f: int, s: int = 1, p: int = 0) -> int:
    """The formula as the key point writes it, evaluated."""
    written = re.search(r"floor of (\(.+?\) / S), plus 1", ENTRIES["convolution-output-size"].key_point("formula").text)
    assert written
    expression = written.group(1).replace("2P", "2 * P")
    return math.floor(eval(expression, {"__builtins__": {}}, {"N": n, "F": f, "S": s, "P": p})) + 1


def test_output_size_formula_matches_torch() -> None:
    assert r"\lfloor (N + 2P - F)/S \rfloor + 1" in stated("convolution-output-size", "along one dimension is")
    for n, f, s, p in product((9, 27, 28), (1, 2, 3, 7), (1, 2, 3), (0, 1, 3)):
        assert F.conv1d(torch.zeros(1, 1, n), torch.zeros(1, 1, f), stride=s, padding=p).shape[-1] == output_size(
            n, f, s, p
        )


def test_output_sizes_stated() -> None:
    key = "convolution-output-size"
    assert output_size(28, 7) in figures(stated(key, "28 by 28 input with a 7 by 7 kernel at stride 1 and no padding"))
    assert f"= {output_size(28, 7)}$" in stated(key, "no padding", "each filter gives")
    assert f"= {output_size(28, 7, s=2)}$" in stated(key, "At stride 2 without padding")
    assert output_size(28, 7, p=3) == 28
    assert "$P = 3$" in stated(key, "same padding needs", "keeps a size of 28")
    assert output_size(27, 7, s=2) == output_size(28, 7, s=2)
    assert output_size(28, 7, s=2) in figures(stated(key, "inputs of size 27 and 28"))
    sizes = [28]
    for _ in range(3):
        sizes.append(output_size(sizes[-1], 3))
    assert sizes[-1] == output_size(28, 7)
    assert set(sizes) <= figures(stated(key, "three stacked 3 by 3 convolutions without padding"))


def test_dilation_and_transposed_convolution() -> None:
    key = "convolution-output-size"
    out = F.conv1d(torch.zeros(1, 1, 28), torch.zeros(1, 1, 7), dilation=2).shape[-1]
    assert {out, 2 * (7 - 1) + 1} <= figures(stated(key, "dilation 2"))
    assert "D(F - 1) + 1" in stated(key, "effective size")
    n, f, s, p = 11, 7, 2, 1
    assert F.conv_transpose1d(torch.zeros(1, 1, n), torch.zeros(1, 1, f), stride=s, padding=p).shape[-1] == (
        (n - 1) * s - 2 * p + f
    )
    assert "(N - 1)S - 2P + F" in stated(key, "a transposed convolution gives")


def test_parameters_and_multiplications_of_the_layer() -> None:
    key = "convolution-output-size"
    layer = on_meta(nn.Conv2d, 1, 32, 7)
    assert parameters(layer) in figures(stated(key, "32 filters of size 7 by 7 on one input channel"))
    assert output_size(28, 7) ** 2 * layer.weight.numel() in figures(stated(key, "multiplications"))
    assert "K(F^2 C + 1)" in stated(key, "counting one bias per filter")


@pytest.mark.parametrize("key", ["convolution-output-size", "cnn"])
def test_three_small_kernels_against_one_large(key: str) -> None:
    x = torch.zeros(1, 1, 21, 21, requires_grad=True)
    stack = nn.Sequential(*(nn.Conv2d(1, 1, 3, bias=False) for _ in range(3)))
    for layer in stack:
        nn.init.ones_(layer.weight)
    out = stack(x)
    out[0, 0, out.shape[2] // 2, out.shape[3] // 2].backward()
    assert int((x.grad != 0).any(dim=2).sum()) == 7
    assert 7 in figures(stated(key, "receptive field of"))
    assert {3 * 9, 49} <= figures(stated(key, "channels in and out"))


# --- 1 artificial neural network, 4 perceptrons, 18 layers, 20 network size ---


def test_parameters_of_dense_networks() -> None:
    first, second = on_meta(nn.Linear, 784, 100), on_meta(nn.Linear, 100, 10)
    key = "artificial-neural-network"
    assert parameters(first) in figures(stated(key, "784 inputs and 100 hidden units has"))
    assert parameters(second) in figures(stated(key, "output layer with 10 units"))
    assert parameters(first) + parameters(second) in figures(stated(key, "in all"))
    for width in (256, 512):
        sizes = [784, width, width, 10]
        parts = [parameters(on_meta(nn.Linear, a, b)) for a, b in pairwise(sizes)]
        text = stated("network-size", f"784, {width}, {width} and 10 units")
        assert sum(parts) in figures(text)
        if width == 256:
            assert set(parts) <= figures(text)
    assert parameters(on_meta(nn.Linear, 50, 50)) == 50**2 + 50
    assert "n² + n" in stated("network-size", "from n to n units")


def test_parameters_of_typical_layers() -> None:
    assert parameters(on_meta(nn.Linear, 784, 128)) in figures(stated("layers", "784 inputs to 128 outputs"))
    filters = parameters(on_meta(nn.Conv2d, 3, 64, 3))
    assert filters in figures(stated("layers", "64 filters of size 3"))
    assert filters in figures(stated("cnn", "filters have"))
    assert parameters(on_meta(nn.Embedding, 50_000, 512)) in figures(stated("layers", "embedding layer for 50,000"))
    pixels = 224 * 224 * 3
    assert {pixels, 27} <= figures(stated("layers", "one dense unit needs"))
    assert pixels in figures(stated("computer-vision", "pixel values"))
    assert round(parameters(on_meta(nn.Linear, pixels, 64)) / 1e6, 1) in figures(stated("cnn", "million parameters"))
    one_by_one = on_meta(nn.Conv2d, 256, 64, 1)
    assert {one_by_one.weight.numel(), one_by_one.bias.numel()} <= figures(stated("cnn", "256 input and 64 output"))


@pytest.mark.parametrize(
    ("key", "formula"),
    [
        ("artificial-neural-network", "W_2(W_1 x + b_1) + b_2 = (W_2 W_1)x + (W_2 b_1 + b_2)"),
        ("single-vs-multilayer-perceptron", "W_2(W_1 x) = (W_2 W_1)x"),
        ("activation-functions", "W_2(W_1x + b_1) + b_2 = W'x + b'"),
    ],
)
def test_stacked_linear_layers_are_one(key: str, formula: str) -> None:
    assert formula in stated(key, "linear")
    first, second = nn.Linear(5, 7).double(), nn.Linear(7, 3).double()
    weight, bias = second.weight @ first.weight, second.weight @ first.bias + second.bias
    x = torch.randn(10, 5, dtype=torch.float64)
    torch.testing.assert_close(second(first(x)), F.linear(x, weight, bias))


def test_xor_needs_a_hidden_layer() -> None:
    key = "single-vs-multilayer-perceptron"
    corners = list(product((0, 1), repeat=2))
    # any linear score has f(0,0) + f(1,1) = f(0,1) + f(1,0), so it cannot be positive on the second pair alone
    for w1, w2, b in torch.randn(200, 3).double().tolist():
        score = {(x1, x2): w1 * x1 + w2 * x2 + b for x1, x2 in corners}
        assert score[0, 0] + score[1, 1] == pytest.approx(score[0, 1] + score[1, 0])
    written = re.findall(r"\\mathrm\{step\}\((.+?)\)\$", stated(key, "compute OR and AND") + stated(key, "output unit"))
    either, both, xor = (w.replace("_", "") for w in written)
    shortcut = re.search(r"\$(x_1.+?)\$", stated(key, "product feature"))
    assert shortcut
    bent = shortcut.group(1).replace("2 x_1 x_2", "2 * x_1 * x_2").replace("_", "")
    for x1, x2 in corners:
        inputs = {"x1": x1, "x2": x2}
        hidden = {"h1": eval(either, {}, inputs) > 0, "h2": eval(both, {}, inputs) > 0}
        assert hidden == {"h1": bool(x1 or x2), "h2": bool(x1 and x2)}
        assert (eval(xor, {}, hidden) > 0) == (x1 != x2)
        assert (eval(bent, {}, inputs) > 0) == (x1 != x2)
    assert "not linearly separable" in stated(key, "cannot solve XOR")


def test_he_initialisation_keeps_the_scale() -> None:
    assert 2 in figures(stated("artificial-neural-network", "He initialisation", "variance of 2 divided by"))
    x = torch.randn(2000, 512).relu() * math.sqrt(2)  # mean square 1, as a ReLU layer would hand it on
    out = (x @ (torch.randn(512, 512) * math.sqrt(2 / 512))).relu()
    assert out.square().mean().item() == pytest.approx(x.square().mean().item(), rel=0.1)


# --- 2, 3 choosing and evaluating, 6 applications, 7, 8 overfitting ---


def test_figures_of_evaluation() -> None:
    accuracy = stated("evaluating-models", "with 1% positives")
    assert {1, 100 - 1} <= figures(accuracy)
    flagged_right, flagged_wrong = 0.005 * 0.90, 0.995 * 0.02
    precision = 100 * flagged_right / (flagged_right + flagged_wrong)
    assert round(precision) in figures(stated("evaluating-models", "0.5% positives", "recall of 90%"))
    error = 100 * math.sqrt(0.9 * 0.1 / 1000)
    assert round(error, 2) in figures(stated("choosing-a-model", "standard error"))
    assert round(1000 / 30) in figures(stated("applications", "30 frames per second"))


def test_l1_gives_zeros_and_l2_does_not() -> None:
    start, strength, rate = torch.tensor([0.04, -0.3, 2.0]), 0.5, 0.1
    shrunk = start.clone()
    sparse = start.clone()
    for _ in range(20):
        shrunk = shrunk - rate * strength * shrunk
        sparse = sparse.sign() * (sparse.abs() - rate * strength).clamp(min=0)  # the proximal step
    assert (sparse == 0).tolist() == [True, True, False]
    assert (shrunk != 0).all()
    assert "exactly zero" in stated("regularisation", "L1 regularisation drives")
    assert "smoothly" in stated("regularisation", "L2 regularisation shrinks")
    assert r"\frac{\lambda}{2}\lVert w \rVert_2^2" in stated("regularisation", "L2 regularisation adds")


def test_decay_and_l2_agree_under_sgd_but_not_under_adam() -> None:
    def after(optimiser: type[torch.optim.Optimizer], l2: bool) -> Tensor:
        w = nn.Parameter(torch.tensor([1.0, -2.0]))
        step = optimiser([w], lr=0.1)
        ((w * torch.tensor([5.0, 0.1])).sum() + (0.01 / 2 * w.square().sum() if l2 else 0)).backward()
        if not l2:
            with torch.no_grad():
                w.mul_(1 - 0.1 * 0.01)
        step.step()
        return w.detach()

    torch.testing.assert_close(after(torch.optim.SGD, True), after(torch.optim.SGD, False))
    assert not torch.allclose(after(torch.optim.Adam, True), after(torch.optim.Adam, False), atol=1e-5)
    assert "but not for Adam" in stated("regularisation", "Weight decay equals L2")


# --- 12 activations, 13 text generation, 16 batch normalisation, 17 GPU, 19 propagation ---


def test_activation_formulas_match_torch() -> None:
    key = "activation-functions"
    z = torch.linspace(-6, 6, 2401, dtype=torch.float64)
    written = {
        r"\sigma(z) = 1/(1+e^{-z})": (1 / (1 + (-z).exp()), z.sigmoid()),
        r"(e^z - e^{-z})/(e^z + e^{-z})": ((z.exp() - (-z).exp()) / (z.exp() + (-z).exp()), z.tanh()),
        r"\max(0, z)": (z.clamp(min=0), F.relu(z)),
        r"z\,\Phi(z)": (z * torch.distributions.Normal(0, 1).cdf(z), F.gelu(z)),
        r"p_i = e^{z_i} / \sum_j e^{z_j}": (z.exp() / z.exp().sum(), z.softmax(0)),
    }
    text = " ".join(statements(ENTRIES[key]))
    for formula, (ours, theirs) in written.items():
        assert formula in text
        torch.testing.assert_close(ours, theirs)
    z.requires_grad_()
    (slope,) = torch.autograd.grad(z.sigmoid().sum(), z)
    assert slope.max().item() == pytest.approx(0.25)
    assert slope.max().item() in figures(stated(key, "slope of the sigmoid"))
    assert pytest.approx(1e-6, rel=0.05) == 0.25**10
    assert "one millionth" in stated(key, "ten sigmoid layers")
    assert nn.LeakyReLU().negative_slope in figures(stated(key, "Leaky ReLU keeps"))


def test_temperature_and_kv_cache() -> None:
    key = "text-generation"
    assert r"p_i = e^{z_i/T} / \sum_j e^{z_j/T}" in stated(key, "Softmax at temperature")
    z = torch.tensor([2.0, 1.0, 0.0])
    cold, plain, hot = (((z / t).exp() / (z / t).exp().sum()) for t in (0.5, 1.0, 2.0))
    torch.testing.assert_close(plain, z.softmax(0))
    assert cold.max() > plain.max() > hot.max()
    assert re.search(r"below 1 sharpen.+above 1 flatten", stated(key, "temperature divides the logits"))
    cache = 2 * 32 * 32 * 128 * 2  # keys and values, layers, heads, dimension, bytes
    text = stated(key, "KV cache per token")
    assert cache in figures(text)
    assert cache == 2**20 // 2
    assert "half a mebibyte" in text


def test_batch_normalisation_in_training_and_at_inference() -> None:
    key = "batch-normalisation"
    assert r"y = \gamma\,(x - \mu_B)/\sqrt{\sigma_B^2 + \epsilon} + \beta" in stated(key, "learnable scale")
    layer, x = nn.BatchNorm2d(3), torch.randn(4, 3, 5, 5) * 2 + 1
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    per_channel = {"dim": (0, 2, 3), "keepdim": True}
    mean, var = x.mean(**per_channel), x.var(correction=0, **per_channel)
    gamma, beta = layer.weight.view(1, 3, 1, 1), layer.bias.view(1, 3, 1, 1)
    torch.testing.assert_close(layer(x), gamma * (x - mean) / (var + layer.eps).sqrt() + beta)
    assert "batch and all spatial positions" in stated(key, "statistics of a channel")
    first = layer.eval()(x)[0]
    assert torch.equal(first, layer(torch.cat([x[:1], torch.randn(3, 3, 5, 5) * 50]))[0])
    assert "running averages" in stated(key, "At inference, batch normalisation uses")


def test_figures_of_the_gpu() -> None:
    text = stated("gpu", "bytes per parameter")
    assert {16, 7, 7 * 16} <= figures(text)
    rate = stated("gpu", "2 TB/s")
    assert {7 * 2, round(2000 / (7 * 2))} <= figures(rate)
    m, k, n = 3, 4, 5
    multiplications, additions = m * n * k, m * n * (k - 1)
    assert multiplications + additions == pytest.approx(2 * m * k * n, rel=0.15)
    assert "$2mkn$" in stated("gpu", "floating-point operations")


def test_backpropagation_formulas_match_autograd() -> None:
    key = "forward-backward-propagation"
    text = " ".join(statements(ENTRIES[key]))
    assert r"\delta^{(l)} = (W^{(l+1)\top} \delta^{(l+1)}) \odot \phi'(z^{(l)})" in text
    assert r"\partial L / \partial W^{(l)} = \delta^{(l)} a^{(l-1)\top}" in text
    x, target = torch.randn(4, dtype=torch.float64), torch.randn(2, dtype=torch.float64)
    w1, w2 = (torch.randn(s, dtype=torch.float64, requires_grad=True) for s in ((3, 4), (2, 3)))
    z1 = w1 @ x
    a1 = z1.tanh()
    (0.5 * (w2 @ a1 - target).square().sum()).backward()
    with torch.no_grad():
        delta2 = w2 @ a1 - target
        delta1 = (w2.T @ delta2) * (1 - z1.tanh() ** 2)
    torch.testing.assert_close((w1.grad, w2.grad), (delta1.outer(x), delta2.outer(a1.detach())))


def test_error_of_the_central_difference() -> None:
    assert "order ε squared" in stated("forward-backward-propagation", "central difference")
    errors = [abs((math.sin(1 + e) - math.sin(1 - e)) / (2 * e) - math.cos(1)) for e in (1e-2, 1e-3)]
    assert errors[0] / errors[1] == pytest.approx(100, rel=0.01)


# --- facts beyond the answers ---


def test_identities_of_activations() -> None:
    z = torch.linspace(-6, 6, 241, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(torch.sigmoid(z).sum(), z)
    assert slope.max().item() in figures(stated("activation-functions", "derivative of the sigmoid", "maximum"))
    stated("activation-functions", "tanh(z) = 2 sigma(2z) - 1")
    torch.testing.assert_close(torch.tanh(z), 2 * torch.sigmoid(2 * z) - 1)
    stated("activation-functions", "two logits equals the sigmoid of their difference")
    pair = torch.stack([z, torch.zeros_like(z)])
    torch.testing.assert_close(torch.softmax(pair, dim=0)[0], torch.sigmoid(z))
    stated("activation-functions", "same constant to all logits does not change the softmax")
    torch.testing.assert_close(torch.softmax(pair + 3, dim=0), torch.softmax(pair, dim=0))
    stated("activation-functions", "softplus", "its derivative is the sigmoid")
    (slope,) = torch.autograd.grad(F.softplus(z).sum(), z)
    torch.testing.assert_close(slope, torch.sigmoid(z))
    stated("activation-functions", "gelu and swish are not monotonic")
    for curve in (F.gelu, F.silu):
        assert curve(torch.tensor(-1.0)) < curve(torch.tensor(-4.0)) < 0


def test_defaults_of_torch() -> None:
    assert nn.Dropout().p in figures(stated("dropout", "nn.Dropout", "its default is"))
    assert nn.BatchNorm2d(1).momentum in figures(stated("batch-normalisation", "PyTorch", "default momentum of"))
    adam = torch.optim.Adam([torch.zeros(1, requires_grad=True)]).defaults
    assert {adam["lr"], *adam["betas"]} <= figures(stated("hyperparameters", "Adam in PyTorch", "beta values"))
    decay = torch.optim.AdamW([torch.zeros(1, requires_grad=True)]).defaults["weight_decay"]
    assert {decay, adam["weight_decay"]} <= figures(stated("hyperparameters", "default weight decay"))
    loader = DataLoader(range(10))  # type: ignore[arg-type]
    assert loader.batch_size in figures(stated("epoch-iteration-batch", "DataLoader by default uses a batch size"))
    assert len(loader) == 10
    stated("layers", "stride of a max-pooling layer defaults to its window size")
    assert nn.MaxPool2d(3).stride == 3
    stated("convolution-output-size", "padding='same' only for stride 1")
    with pytest.raises(ValueError, match="same"):
        nn.Conv2d(1, 1, 3, stride=2, padding="same")
    stated("batch-normalisation", "batch of one in a dense layer", "raises an error")
    with pytest.raises(ValueError, match="more than 1 value"):
        nn.BatchNorm1d(4)(torch.zeros(1, 4))


def test_sizes_and_counts_beyond_the_answers() -> None:
    nine = parameters(nn.Sequential(nn.Linear(2, 2), nn.Sigmoid(), nn.Linear(2, 1)))
    assert nine == 9
    stated("single-vs-multilayer-perceptron", "multilayer perceptron for XOR", "nine parameters")
    assert {49.0} <= figures(stated("convolution-output-size", "49 weights plus one bias"))
    assert parameters(nn.Conv2d(1, 1, 7)) == 49 + 1
    stacked = nn.Sequential(*(nn.Conv2d(1, 1, 3) for _ in range(3)))(torch.zeros(1, 1, 28, 28))
    assert stacked.shape[-1] in figures(stated("convolution-output-size", "three stacked 3 by 3 convolutions"))
    n, f, s, p = 9, 4, 3, 1
    stated("convolution-output-size", "transposed convolution", "(N - 1)S - 2P + F")
    assert nn.ConvTranspose2d(1, 1, f, s, p)(torch.zeros(1, 1, n, n)).shape[-1] == (n - 1) * s - 2 * p + f
    gates = parameters(nn.LSTM(5, 6, bias=True)) - 4 * 6  # torch has a second bias for each gate
    stated("lstm", "4(h(d + h) + h) parameters")
    assert gates == 4 * (6 * (5 + 6) + 6)
    unseen = (1 - 1 / 100_000) ** 100_000
    assert round(100 * unseen) in figures(stated("epoch-iteration-batch", "with replacement", "not seen"))
    assert round(100 * math.sqrt(0.9 * 0.1 / 100)) == 3
    stated("evaluating-models", "standard error of about three percentage points")
    block = parameters(nn.TransformerEncoderLayer(64, 4, 256, bias=False)) - 2 * 64  # without the norms' gains
    stated("transformer", "12d² weights", "4d² in attention", "8d² in the feed-forward")
    assert block == 12 * 64**2


def test_fourteen_of_sixteen_boolean_functions_are_separable() -> None:
    inputs = list(product((0, 1), repeat=2))
    planes = list(product((-1.0, 0.0, 1.0), (-1.0, 0.0, 1.0), (-1.5, -0.5, 0.5, 1.5)))
    found = {tuple(a * x + b * y + c > 0 for x, y in inputs) for a, b, c in planes}
    assert len(found) == 14
    assert {16.0, 14.0} <= figures(stated("single-vs-multilayer-perceptron", "Boolean functions of two inputs"))


def test_the_best_constants_and_dice() -> None:
    targets = torch.tensor([1.0, 2.0, 9.0])
    guesses = torch.linspace(0, 10, 1001)
    squared = ((guesses[:, None] - targets) ** 2).mean(1)
    absolute = (guesses[:, None] - targets).abs().mean(1)
    stated("evaluating-models", "minimises MSE is the mean", "MAE is their median")
    assert guesses[squared.argmin()].item() == pytest.approx(targets.mean().item(), abs=0.01)
    assert guesses[absolute.argmin()].item() == pytest.approx(targets.median().item(), abs=0.01)
    stated("evaluating-models", "Dice = 2·IoU / (1 + IoU)")
    overlap, one, other = 3, 5, 7
    iou = overlap / (one + other - overlap)
    assert 2 * overlap / (one + other) == pytest.approx(2 * iou / (1 + iou))
