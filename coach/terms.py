"""The vocabulary of deep learning: which technical terms a text holds, and how they are spelt."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from coach.pronunciation import SAID_AS_WORDS, SoundIndex, sounds

# Terms that a recogniser without help gets wrong, in the spelling that is wanted, by topic: what is said together
# stands together. General terms of the field, so that nothing depends on which entries there are.
TOPICS = tuple(
    tuple(" ".join(term.split()) for term in topic.split(","))
    for topic in (
        "dropout, inverted dropout, co-adaptation, regularisation, regularise, L1, L2, weight decay, early "
        "stopping, overfitting, overfit, overfits, underfitting, underfit, underfits, bias, variance, double "
        "descent, augmentation, data augmentation, learning curves, data leakage, label noise",
        "ReLU, leaky ReLU, GELU, SwiGLU, sigmoid, tanh, softmax, logits, softplus, activation function, "
        "saturates, vanishing gradients, dying ReLU",
        "LSTM, GRU, RNN, cell state, hidden state, forget gate, input gate, output gate, vanishing gradients, "
        "exploding gradients, gradient clipping",
        "perceptron, multilayer perceptron, multilayer, MLP, XOR, linear decision boundary, non-linearity, "
        "hidden layer, universal approximation, weighted sum, bias, activation function",
        "backpropagation, backprop, chain rule, autodiff, gradient descent, stochastic gradient descent, SGD, "
        "Adam, AdamW, RMSprop, momentum, warmup, learning rate, cosine schedule, optimiser, Jacobian, "
        "Hessian, Xavier, He initialisation",
        "epoch, iteration, batch size, mini-batch, batch normalisation, layer norm, group norm, running "
        "statistics, learnable scale and shift",
        "loss function, cross-entropy, mean squared error, MAE, MSE, KL divergence, label smoothing, one-hot, argmax",
        "precision, recall, accuracy, F1, ROC, AUC, calibration, confusion matrix, perplexity, BLEU, ROUGE, "
        "IoU, mAP, mean average precision, held-out set, imbalanced",
        "CNN, convolution, convolutional, kernel, stride, padding, filters, max pooling, average pooling, "
        "translation equivariance, feature map, feature extraction, ImageNet, ResNet, VGG, U-Net, YOLO, ViT, "
        "vision transformer, object detection, segmentation, OCR, SIFT, HOG, occlusion, distribution shift, "
        "backbone",
        "transformer, self-attention, multi-head attention, attention, query, key, value, causal mask, "
        "positional encoding, residual connections, skip connections, feed-forward, encoder, decoder, BERT, "
        "GPT, layer norm, softmax",
        "tokenizer, token, embedding, embeddings, logits, KV cache, top-k, top-p, temperature, greedy, beam "
        "search, self-attention, MLP, softmax, perplexity, quantisation, memory bandwidth",
        "fine-tuning, pretrained, pretraining, transfer learning, negative transfer, catastrophic forgetting, "
        "LoRA, low-rank matrices, backbone, freeze, distillation, pruning, quantisation",
        "GAN, generator, discriminator, minimax, mode collapse, Wasserstein GAN, diffusion, diffusion models, "
        "latent, autoencoder, VAE, contrastive",
        "RLHF, hallucination, prompt injection, retrieval, memorise, privacy, copyright, bias",
        "XGBoost, gradient boosting, gradient-boosted trees, random forest, logistic regression, tabular "
        "data, baseline, linear classifier",
        "hyperparameter, hyperparameters, random search, grid search, Bayesian search, Bayesian, learning "
        "rate, batch size, AdamW, cosine schedule",
        "GPU, TPU, CPU, CUDA, tensor, tensor cores, PyTorch, TensorFlow, matrix multiplication, memory bandwidth",
        "cosine similarity, FAISS, Word2vec, embeddings, contrastive, graph neural networks, inference, latency",
    )
)
VOCABULARY = tuple(dict.fromkeys(term for topic in TOPICS for term in topic))
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
        # "AND" and "OR" are gates in a text on perceptrons, and words everywhere else.
        if not {folded(token), folded(token).removesuffix("s")} & (known | FUNCTION_WORDS):
            counts[token] = counts.get(token, 0) + 1
    return tuple(sorted((term for term, count in counts.items() if count), key=lambda term: -counts[term]))


LEAST_HITS = 2  # terms of a topic that a text has to hold before the others are expected too
MOST_TOPICS = 2


def related_terms(text: str) -> tuple[str, ...]:
    """The terms in a text and those that are said together with them, for a second, better prompted look."""
    found = terms_in([text])
    hits = {topic: sum(term in found for term in topic) for topic in TOPICS}
    best = sorted((topic for topic in TOPICS if hits[topic] >= LEAST_HITS), key=lambda topic: -hits[topic])
    return tuple(dict.fromkeys([*found, *(term for topic in best[:MOST_TOPICS] for term in topic)]))


def widened(terms: Sequence[str]) -> tuple[str, ...]:
    """An entry's terms, then those that are said together with them: answers go beyond the model answer."""
    return tuple(dict.fromkeys([*terms, *related_terms(", ".join(terms))])) if terms else ()


# Short forms that are also ordinary words: their capitals are never put in by rule.
ALSO_WORDS = frozenset("map hog sift rouge adam he bert rag key value token rope coco".split())
FUNCTION_WORDS = frozenset(
    "a an the is are was and or in on of to for with by as at it its this that so then but you we i use uses have "
    "has".split()
)
# Distance in sound up to which a span of words may be a term misheard, and the same for words that all occur in terms
# ("head and state"). Among the 1,400 candidates nearer than 0.36 on the dev recordings of benchmarks/speech.py only
# one that was right lay beyond.
NEAR, NEAR_KNOWN = 0.3, 0.13
LONGEST_SHORT_FORM = 6  # letters, as in "ResNet"
LONGEST_SPAN = 4  # words that a term may have been heard as


@dataclass(frozen=True)
class Candidate:
    """A term that words `first` … `last` − 1 may have been: how far in sound, how long, whether only spaces differ.

    `known` says that the words as they stand all occur in terms.
    """

    first: int
    last: int
    term: str
    distance: float
    sounds: int
    same_letters: bool
    known: bool = False


def _stems(text: str) -> list[str]:
    without_s = (re.sub(r"(?<=\w{2}[^s])s$", "", word) for word in folded(text).split())
    return [re.sub(r"(?<=\w{3})(?:ing|ed)$", "", word) for word in without_s]


def _with_article(term: str) -> tuple[str, ...]:
    """A term that is a thing with "a" or "an", and with "the"."""
    spelt = re.fullmatch(r"[A-Z]{2,}", term) is not None and term.lower() not in SAID_AS_WORDS
    vowel = term[0] in "AEFHILMNORSX" if spelt else term[0].lower() in "aeiou"
    return f"{'an' if vowel else 'a'} {term}", f"the {term}"


class Lexicon:
    """Terms that may be said, by spelling and by sound; `expected` are those of the entry, the rest the vocabulary."""

    def __init__(self, expected: Sequence[str] = ()) -> None:
        self.expected = frozenset(folded(term) for term in expected)
        terms = tuple(dict.fromkeys([*expected, *VOCABULARY]))
        self._spelling = {re.sub(r"\W", "", folded(term)): term for term in reversed(terms)}
        self._stems = {"".join(_stems(term)) for term in terms}
        self._words = {stem for term in terms for stem in _stems(term)}
        said = [(term, sounds(term)) for term in terms]
        # An article runs together with the term after it: "throcker" was "the ROC curve", "nLSTM" "an LSTM".
        short = [term for term in expected if " " not in term and len(term) <= LONGEST_SHORT_FORM]
        said += [(text, sounds(text)) for term in short if term != term.lower() for text in _with_article(term)]
        # Short names such as "GAN" are also spelt out, and acronyms such as "ROC" are also said as words.
        said += [(term, sounds(term, spelt=True)) for term in terms if len(term) <= 4 and term.lower() in SAID_AS_WORDS]
        said += [
            (term, sounds(term.lower()))
            for term in terms
            if re.fullmatch(r"[A-Z]+[AEIOU][A-Z]+|[AEIOU][A-Z]{2,}", term)
        ]
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
        """Whether the term, with or without an article, is one of the entry's."""
        return re.sub(r"^(?:an?|the) ", "", folded(term)) in self.expected

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
        if not content:
            return []
        known = joined not in self._spelling and all(stem in self._words for stem in content)
        apart = self._spelling.get(joined) if len(stems) > 1 else None
        if apart is not None and apart != apart.lower() and joined not in ALSO_WORDS and " " not in apart:
            # "XG boost" is "XGBoost" written apart, however the letters are said.
            return [Candidate(first, last, apart, 0.0, len(sounds(apart)), same_letters=True)]
        distances = self._index.distances(sounds(span))
        best = int(np.argmin(distances))
        term = self._terms[best]
        wanted = _stems(term)
        if distances[best] > (NEAR_KNOWN if known else NEAR) or all(stem in stems for stem in wanted):
            return []
        if term.lower() in ALSO_WORDS and not self.expects(term):
            return []
        # "a feedforward" holds the term already; "drop out" does not.
        if len(stems) > 1 and "".join(wanted) in stems:
            return []
        same = "".join(wanted) == joined
        # "a TPU" is a term with its article already, however near "a GPU" is.
        if "".join(content) in self._stems and not same:
            return []
        return [Candidate(first, last, term, float(distances[best]), int(self._index.lengths[best]), same, known)]
