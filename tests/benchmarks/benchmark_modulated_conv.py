"""StyleGAN2's modulated convolution two ways: one shared convolution, or one grouped kernel a sample.

    python tests/benchmarks/benchmark_modulated_conv.py [--json]

Shared is the toolkit's: scale the input by the style, convolve, scale the output by the demodulation.
Grouped is the published one: modulate and demodulate a copy of the weights for every sample, then
convolve with as many groups as samples. Same layer, same input, turn about in one run; times are
forward plus backward, and the ratio is the median over the pairs. Each in the layout that suits it.
"""

import argparse
import json as json_format
import platform
import statistics
import time

import torch
import torch.nn.functional as F

from toolkit.gan.stylegan2 import LRELU_GAIN, SLOPE, SynthesisConv, blur

BATCH, W_DIM = 16, 256
LAYERS = [(256, 16, False), (128, 32, False), (64, 64, False), (64, 64, True)]  # channels, output side, up


def main(json=False, rounds=5):
    """Print a row per layer and the ratio of the totals; with `json`, one JSON object as the last line.

    Args:
        json: print the JSON object.
        rounds: pairs of measurements of each layer, >= 1.
    Returns:
        dict, what the JSON object holds.
    """
    torch.manual_seed(0)
    rows = []
    print(f"{'layer':>18}{'shared ms':>11}{'grouped ms':>12}{'ratio':>7}{'difference':>12}")
    for channels, side, up in LAYERS:
        row = compare(channels, side, up, rounds)
        rows.append(row)
        print(
            f"{row['layer']:>18}{row['shared_ms']:11.1f}{row['grouped_ms']:12.1f}{row['ratio']:7.2f}"
            f"{row['difference']:12.0e}",
            flush=True,
        )
    total = sum(r["grouped_ms"] for r in rows) / sum(r["shared_ms"] for r in rows)
    print(f"all layers: shared is {total:.2f} times as fast ({torch.get_num_threads()} threads, batch {BATCH})")
    result = {
        "layers": rows,
        "ratio": total,
        "batch": BATCH,
        "threads": torch.get_num_threads(),
        "machine": f"{platform.machine()}, torch {torch.__version__}",
    }
    if json:
        print(json_format.dumps(result))
    return result


def compare(channels, side, up, rounds, batch=BATCH):
    """Time one layer both ways, in turn: dict with milliseconds, their ratio, and how outputs differ."""
    layer = SynthesisConv(channels, channels, W_DIM, side, up=up, conv_clamp=None)
    x = torch.randn(batch, channels, side // 2 if up else side, side // 2 if up else side)
    w, noise = torch.randn(batch, W_DIM), layer.noise_const[None, None]
    plain, last = (x.clone(memory_format=m).requires_grad_() for m in (torch.contiguous_format, torch.channels_last))

    def shared():
        layer.to(memory_format=torch.channels_last)
        return _step(lambda: layer(last, w, noise), layer)

    def grouped():
        layer.to(memory_format=torch.contiguous_format)
        return _step(lambda: _grouped(layer, plain, w, noise), layer)

    (_, ours), (_, published) = shared(), grouped()  # also warms up
    pairs = [(shared()[0], grouped()[0]) for _ in range(rounds)]
    return {
        "layer": f"{channels}x{side}x{side}{' up' if up else ''}",
        "shared_ms": 1e3 * statistics.median(a for a, _ in pairs),
        "grouped_ms": 1e3 * statistics.median(b for _, b in pairs),
        "ratio": statistics.median(b / a for a, b in pairs),
        "difference": float((ours - published).abs().max() / published.abs().max()),
    }


def _step(forward, layer):
    layer.zero_grad()
    start = time.perf_counter()
    y = forward()
    y.backward(torch.ones_like(y))
    return time.perf_counter() - start, y.detach()


def _grouped(layer, x, w, noise):
    """`SynthesisConv.forward` as published: a kernel of its own for every sample."""
    n, c = x.shape[:2]
    kernel = layer.weight * layer.affine(w)[:, None, :, None, None]
    kernel = kernel * (kernel.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()
    x = x.reshape(1, n * c, *x.shape[2:])
    if layer.up:
        kernel = kernel.transpose(1, 2).reshape(n * c, -1, 3, 3)
        x = blur(F.conv_transpose2d(x, kernel, stride=2, groups=n), pad=1, gain=4)
    else:
        x = F.conv2d(x, kernel.reshape(-1, c, 3, 3), padding=1, groups=n)
    x = x.reshape(n, -1, layer.resolution, layer.resolution)
    x = x + noise * layer.noise_strength + layer.bias[:, None, None]
    return F.leaky_relu(x, SLOPE) * LRELU_GAIN


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    main(**vars(parser.parse_args()))
