"""The vocabulary of deep learning: which technical terms a text holds, and how they are spelt."""

from __future__ import annotations

import re
from collections.abc import Iterable

# Terms that a recogniser without help gets wrong, in the spelling that is wanted. General terms of the field, so that
# nothing depends on which entries there are.
VOCABULARY = tuple(
    term.strip()
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
    for token in re.findall(r"\b(?:[A-Z]{2,6}\d?|[A-Z]?[a-z]+[A-Z][A-Za-z]*\d?)\b", whole):
        if folded(token) not in known and folded(token).removesuffix("s") not in known:
            counts[token] = counts.get(token, 0) + 1
    return tuple(sorted((term for term, count in counts.items() if count), key=lambda term: -counts[term]))
