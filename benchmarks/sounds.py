"""Sounds without speech: noise, hum, breath, coughs, keys, music. A recogniser has to write nothing of them."""

from __future__ import annotations

import numpy as np

from coach.audio import SAMPLE_RATE, Samples


def noise(kind: str, length: int, seed: int) -> Samples:
    """White or pink noise with an effective value of one."""
    rng = np.random.default_rng(seed)
    white = rng.standard_normal(length)
    if kind == "pink":
        spectrum = np.fft.rfft(white)
        spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 1))
        white = np.fft.irfft(spectrum, n=length)
    return (white / np.sqrt(np.mean(white**2))).astype(np.float32)


def bursts(seed: int, kind: str) -> Samples:
    """Eight seconds with coughs (two noisy bursts with a voiced end) or key strokes."""
    rng = np.random.default_rng(seed)
    samples = 1e-3 * noise("pink", 8 * SAMPLE_RATE, seed)
    starts = (1.0, 1.45, 4.0, 4.4, 4.8) if kind == "cough" else np.sort(rng.uniform(0.3, 7.3, 25))
    for start in starts:
        length = int((0.3 if kind == "cough" else 0.05) * SAMPLE_RATE)
        t = np.arange(length) / SAMPLE_RATE
        burst = rng.standard_normal(length)
        if kind == "cough":
            spectrum, f = np.fft.rfft(burst), np.fft.rfftfreq(length, 1 / SAMPLE_RATE)
            spectrum *= np.exp(-(((f - 500) / 400) ** 2)) + 0.6 * np.exp(-(((f - 1500) / 600) ** 2)) + 0.2
            burst = np.fft.irfft(spectrum, length)
            burst = 0.4 * burst / np.abs(burst).max() * np.where(t < 0.03, t / 0.03, np.exp(-(t - 0.03) / 0.06))
            burst += 0.05 * np.sign(np.sin(2 * np.pi * 140 * t)) * (t > 0.15) * np.exp(-np.maximum(t - 0.15, 0) / 0.05)
        else:
            burst = 0.3 * burst * np.exp(-t / 0.005)
        first = int(start * SAMPLE_RATE)
        samples[first : first + length] += burst.astype(np.float32)
    return samples


def music(seed: int, vibrato: float, decay: float) -> Samples:
    """Fifteen seconds of chords with overtones."""
    rng = np.random.default_rng(seed)
    samples = np.zeros(15 * SAMPLE_RATE)
    t = np.arange(int(1.2 * SAMPLE_RATE)) / SAMPLE_RATE
    for k in range(24):
        root = 220 * 2 ** (rng.choice([0, 3, 5, 7, 10, -2, -5]) / 12)
        chord = np.zeros(len(t))
        for interval in (0, rng.choice([3, 4]), 7):
            for h in range(1, 8):
                wave_ = np.sin(2 * np.pi * root * 2 ** (interval / 12) * h * t + vibrato * np.sin(11 * np.pi * t))
                chord += 0.03 * wave_ / h**1.3
        first = int(k * 0.6 * SAMPLE_RATE)
        part = (chord * np.minimum(1, t / 0.01) * np.exp(-t / decay))[: len(samples) - first]
        samples[first : first + len(part)] += part
    return samples.astype(np.float32)


def hostile() -> dict[str, Samples]:
    """Sounds without speech."""
    ten = 10 * SAMPLE_RATE
    t = np.arange(ten) / SAMPLE_RATE
    sounds = {"silence": np.zeros(ten, dtype=np.float32)}
    for level in (0.001, 0.02, 0.2):
        sounds |= {f"{kind} noise {level}": level * noise(kind, ten, 7) for kind in ("white", "pink")}
    sounds["hum"] = (0.05 * np.sin(100 * np.pi * t) + 0.03 * np.sin(300 * np.pi * t)).astype(np.float32)
    sounds["breath"] = 0.05 * noise("pink", ten, 8) * (0.5 + 0.5 * np.sin(0.6 * np.pi * t)).astype(np.float32) ** 3
    sounds |= {f"{kind} {seed}": bursts(seed, kind) for kind in ("cough", "keys") for seed in (1, 2, 3)}
    sounds |= {
        f"music {seed}": music(seed, vibrato, decay) for seed, vibrato, decay in ((1, 0, 1.2), (2, 2, 5), (3, 0, 5))
    }
    sounds["ringing"] = (0.2 * np.sin(880 * np.pi * t) * (t % 2 < 1)).astype(np.float32)
    return sounds
