"""The most that one core could do: multiply-adds a second, in registers.

    python benchmarks/peak.py

Chains of multiply-adds on the widest vectors that the processor has, as many chains as
hide its latency, and no memory. Two operations for each multiply-add, in float32.
"""

import time

import numpy as np

from sklearn_lsdn._network.kernels.compilation import kernel
from sklearn_lsdn._network.kernels.vectors import LANES, load, plus_product, store

_CHAINS = 12


@kernel
def multiply_add(numbers, n):
    """Run ``n`` steps of each chain, which begins with a row and ends in the first."""
    x, y = load(numbers, (0, 0)), load(numbers, (1, 0))
    a, b, c = load(numbers, (2, 0)), load(numbers, (3, 0)), load(numbers, (4, 0))
    d, e, f = load(numbers, (5, 0)), load(numbers, (6, 0)), load(numbers, (7, 0))
    g, h, i = load(numbers, (8, 0)), load(numbers, (9, 0)), load(numbers, (10, 0))
    j, k, m = load(numbers, (11, 0)), load(numbers, (12, 0)), load(numbers, (13, 0))
    for _ in range(n):
        a, b, c = plus_product(y, a, x), plus_product(y, b, x), plus_product(y, c, x)
        d, e, f = plus_product(y, d, x), plus_product(y, e, x), plus_product(y, f, x)
        g, h, i = plus_product(y, g, x), plus_product(y, h, x), plus_product(y, i, x)
        j, k, m = plus_product(y, j, x), plus_product(y, k, x), plus_product(y, m, x)
    store(a + b + c + d + e + f + g + h + i + j + k + m, numbers, (0, 0))


def measured_peak(n=100_000, repeats=50):
    """Operations a second of one core in float32."""
    times = []
    for _ in range(repeats):
        numbers = np.linspace(0.1, 0.9, (2 + _CHAINS) * LANES, dtype=np.float32)
        numbers = numbers.reshape(-1, LANES)
        start = time.perf_counter()
        multiply_add(numbers, n)
        times.append(time.perf_counter() - start)
    return 2 * LANES * _CHAINS * n / min(times)


if __name__ == "__main__":
    print(f"{measured_peak() / 1e9:.0f} GFLOP/s, vectors of {LANES} floats")
