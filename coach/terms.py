"""The vocabulary of deep learning: which technical terms a text holds, and how they are spelt."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from coach.pronunciation import SAID_AS_WORDS, SoundIndex, sounds

# Terms that a recogniser without help gets wrong, in the spelling that is wanted. General terms of the field, so that
# nothing depends on which entries there are.
VOCABULARY = tuple(
    " ".join(term.split())
    for term in """
    dropout, ReLU, leaky ReLU, GELU, SwiGLU, sigmoid, tanh, softmax, logits, LSTM, GRU, RNN, CNN, GAN, VAE, MLP,
    XOR, LoRA, backpropagation, backprop, gradient descent, stochastic gradient descent, SGD, Adam, AdamW, RMSprop,
    momentum, warmup, learning rate, weight decay, early stopping, batch size, mini-batch, epoch, batch
    normalisation, layer norm, group norm, regularisation, regularise, L1, L2, overfitting, overfit, overfits,
    underfitting, underfit, underfits, bias, variance, double descent, cross-entropy, mean squared error, MAE, MSE,
    KL divergence, perplexity, BLEU, ROUGE, ROC, AUC, F1, IoU, mAP, precision, recall, accuracy, calibration,
    confusion matrix, perceptron, multilayer perceptron, non-linearity, hidden layer, activation function, vanishing
    gradients, exploding gradients, gradient clipping, residual connections, skip connections, feed-forward,
    convolution, convolutional, kernel, stride, padding, max pooling, average pooling, translation equivariance,
    feature map, feature extraction, backbone, ImageNet, ResNet, VGG, U-Net, YOLO, ViT, vision transformer, object
    detection, segmentation, OCR, SIFT, HOG, transformer, self-attention, multi-head attention, attention, query,
    key, value, causal mask, positional encoding, encoder, decoder, tokenizer, token, embedding, embeddings, BERT,
    GPT, KV cache, top-k, top-p, temperature, greedy, beam search, fine-tuning, pretrained, pretraining, transfer
    learning, negative transfer, catastrophic forgetting, distillation, pruning, quantisation, RLHF, hallucination,
    prompt injection, retrieval, cell state, hidden state, forget gate, input gate, output gate, autoencoder,
    generator, discriminator, minimax, mode collapse, Wasserstein GAN, diffusion, latent, contrastive, cosine
    similarity, FAISS, Word2vec, XGBoost, gradient boosting, random forest, logistic regression, hyperparameter,
    hyperparameters, random search, grid search, Bayesian, data augmentation, augmentation, cosine schedule,
    inference, co-adaptation, inverted dropout, autodiff, chain rule, Jacobian, Hessian, loss function, universal
    approximation, GPU, TPU, CPU, CUDA, tensor, tensor cores, PyTorch, TensorFlow, Xavier, He initialisation,
    softplus, argmax, one-hot, graph neural networks, label smoothing, occlusion, distribution shift, data leakage,
    held-out set, baseline
    """.split(",")
)
PLURAL = "(?:s|es)?"


def folded(text: str) -> str:
    """Lower case, hyphens as blanks, "-ise" as "-ize": two spellings of one thing become equal."""
    plain = re.sub(r"[-–—/_]", " ", text.lower().replace("’", "'"))
    return re.sub(r"(?<=[a-z]{3})is(?=e\b|ed\b|es\b|ing\b|ation|er\b|ers\b)", "iz", plain)


def _count(term: str, whole: str, plain: str) -> int:
    """How often a term occurs; one with capitals only in its own spelling, since "map" and "hog" are also words."""
    if term != term.lower():
        return len(re.findall(rf"(?<!\w){re.escape(term)}{PLURAL}(?!\w)", whole))
    return len(re.findall(rf"\b{re.escape(folded(term))}{PLURAL}\b", plain))


def terms_in(texts: Iterable[str]) -> tuple[str, ...]:
    """The technical terms in the texts, most frequent first: the vocabulary's, and capitalised short forms."""
    whole = "\n".join(texts)
    plain = folded(whole)
    counts = {term: _count(term, whole, plain) for term in VOCABULARY}
    known = {folded(term) for term in VOCABULARY}
    # Short forms such as "NMS" or "DenseNet" mark themselves as terms by capitals after the first letter.
    for token in re.findall(r"\b(?:[A-Z]{2,6}\d?|[A-Z]*[a-z]+[A-Z][A-Za-z]*\d?)\b", whole):
        if folded(token) not in known and folded(token).removesuffix("s") not in known:
            counts[token] = counts.get(token, 0) + 1
    return tuple(sorted((term for term, count in counts.items() if count), key=lambda term: -counts[term]))


# Short forms that are also ordinary words: their capitals are never put in by rule.
ALSO_WORDS = frozenset("map hog sift rouge adam he bert rag key value token rope coco".split())
FUNCTION_WORDS = frozenset(
    "a an the is are was and or in on of to for with by as at it its this that so then but you we i use uses have "
    "has".split()
)
# Distance in sound up to which words may be a term misheard; chosen on the dev recordings of benchmarks/speech.py.
NEAR = (
    0.2  # distance in sound up to which a span of words may be a term misheard; dev recordings of benchmarks/speech.py
)
LONGEST_SPAN = 4  # words that a term may have been heard as


@dataclass(frozen=True)
class Candidate:
    """A term that words `first` … `last` − 1 may have been: how far in sound, how long, whether only spaces differ."""

    first: int
    last: int
    term: str
    distance: float
    sounds: int
    same_letters: bool


def _stems(text: str) -> list[str]:
    return [re.sub(r"(?:ies|es|s|ed|ing)$", "", word) for word in folded(text).split()]


class Lexicon:
    """Terms that may be said, by spelling and by sound; `expected` are those of the entry, the rest the vocabulary."""

    def __init__(self, expected: Sequence[str] = ()) -> None:
        self.expected = frozenset(folded(term) for term in expected)
        terms = tuple(dict.fromkeys([*expected, *VOCABULARY]))
        self._spelling = {re.sub(r"\W", "", folded(term)): term for term in reversed(terms)}
        self._words = {stem for term in terms for stem in _stems(term)}
        said = [(term, sounds(term)) for term in terms]
        # Short names such as "GAN" are also spelt out by some.
        said += [(term, sounds(term, spelt=True)) for term in terms if len(term) <= 4 and term.lower() in SAID_AS_WORDS]
        self._terms = tuple(term for term, _ in said)
        self._index = SoundIndex(tuple(sound for _, sound in said))

    def spelling(self, written: str) -> str:
        """A word in the wanted capitals ("reLU" as "ReLU"); unchanged when it is no term or also an ordinary word."""
        key = re.sub(r"\W", "", folded(written))
        term = self._spelling.get(key)
        if term is None or term == term.lower() or " " in term or key in ALSO_WORDS or len(term) != len(written):
            return written
        return term

    def spelling_in(self, word: str) -> str:
        """`spelling` for a word with punctuation around it."""
        match = re.fullmatch(r"(\W*)(.*?)(\W*)", word, flags=re.DOTALL)
        return match.group(1) + self.spelling(match.group(2)) + match.group(3) if match else word

    def expects(self, term: str) -> bool:
        """Whether the term is one of the entry's."""
        return folded(term) in self.expected

    def candidates(self, words: Sequence[str]) -> tuple[Candidate, ...]:
        """Terms that sound like one to four neighbouring words which are no term themselves."""
        found: list[Candidate] = []
        for first in range(len(words)):
            for last in range(first + 1, min(first + LONGEST_SPAN, len(words)) + 1):
                span = " ".join(words[first:last])
                # A term does not run across punctuation.
                if re.search(r"[.,;:?!]", " ".join(words[first : last - 1])):
                    break
                found += self._near(span, first, last)
        return tuple(found)

    def _near(self, span: str, first: int, last: int) -> list[Candidate]:
        stems = _stems(re.sub(r"[^\w\s'-]", "", span))
        content = [stem for stem in stems if stem not in FUNCTION_WORDS]
        joined = "".join(stems)
        if joined not in self._spelling and all(stem in self._words for stem in content):
            return []
        distances = self._index.distances(sounds(span))
        best = int(np.argmin(distances))
        term = self._terms[best]
        wanted = _stems(term)
        if distances[best] > NEAR or all(stem in stems for stem in wanted):
            return []
        # "a non-linearity" holds the term already; "drop out" does not.
        if "".join(wanted) in joined and "".join(wanted) != joined:
            return []
        same = "".join(wanted) == joined
        return [Candidate(first, last, term, float(distances[best]), int(self._index.lengths[best]), same)]
