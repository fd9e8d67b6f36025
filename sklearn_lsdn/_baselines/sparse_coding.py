"""Sparse codes of many vectors over one dictionary: the lasso, exactly.

An active-set pursuit in Gram space. The atom that correlates most with the residual
enters, the coefficients of all that have entered are solved for anew, and an atom whose
coefficient would change its sign leaves. With Cholesky factors of a few rows, a vector
takes microseconds where coordinate descent takes a millisecond.
"""

import numpy as np

from .._network.kernels.compilation import kernel
from .._network.threads import for_each_slice

_LANES = 32  # atoms compared at once
_ROWS = 256  # vectors a thread takes at once
_DEPENDENT = 1e-10  # of an atom's squared norm, left by those that have entered


class SparseCoder:
    """Codes vectors over a dictionary.

    Parameters
    ----------
    atoms : ndarray of shape (n_atoms, n_dimensions)
        Of norm 1.
    alpha : float
        Positive weight of the l1 norm: codes a minimise
        ``|z - a D|^2 / 2 + alpha |a|_1``.
    """

    def __init__(self, atoms, alpha):
        n_atoms, n_dimensions = atoms.shape
        padded = max(1, -(-n_atoms // _LANES)) * _LANES
        self._atoms = np.zeros((n_dimensions, padded))
        self._atoms[:, :n_atoms] = atoms.T
        self._gram = np.zeros((padded, padded))
        _correlate(self._atoms.T.copy(), self._atoms, self._gram)
        self._alpha = float(alpha)
        self._cap = min(n_atoms, n_dimensions)  # a minimum has no more

    def encode(self, Z, n_threads=1):
        """Compute the codes of vectors.

        Parameters
        ----------
        Z : float64 array of shape (n, n_dimensions)
        n_threads : int, default=1

        Returns
        -------
        indices : int64 array of shape (n, n_nonzero)
            The atoms of each code; 0 where it has fewer.
        values : float64 array of shape (n, n_nonzero)
            Their coefficients; 0 where it has fewer.
        """
        indices = np.zeros((len(Z), self._cap), dtype=np.int64)
        values = np.zeros((len(Z), self._cap))

        def run(rows):
            dictionary = self._atoms, self._gram
            pursue(Z[rows], *dictionary, self._alpha, indices[rows], values[rows])

        for_each_slice(run, len(Z), _ROWS, n_threads)
        return indices, values


@kernel
def _add_rows(weights, table, rows, n, total):
    """Add ``weights[j] * table[rows[j]]`` for j < n, four rows at a time."""
    j = 0
    while j + 4 <= n:
        w0, w1, w2, w3 = weights[j], weights[j + 1], weights[j + 2], weights[j + 3]
        r0, r1 = table[rows[j]], table[rows[j + 1]]
        r2, r3 = table[rows[j + 2]], table[rows[j + 3]]
        for k in range(len(total)):
            total[k] += w0 * r0[k] + w1 * r1[k] + w2 * r2[k] + w3 * r3[k]
        j += 4
    while j < n:
        w0, r0 = weights[j], table[rows[j]]
        for k in range(len(total)):
            total[k] += w0 * r0[k]
        j += 1


@kernel
def _correlate(vectors, atoms, correlations):
    """Add ``vectors @ atoms``, with the same bits whatever else is in the batch."""
    every = np.arange(len(atoms))
    for i in range(len(vectors)):
        _add_rows(vectors[i], atoms, every, len(atoms), correlations[i])


@kernel
def _largest(values, lanes):
    """Index of the largest absolute value; in lanes, since a plain scan is slow."""
    lanes[:] = 0.0
    for start in range(0, len(values), _LANES):
        for k in range(_LANES):
            value = abs(values[start + k])
            lanes[k] = value if value > lanes[k] else lanes[k]
    lane = np.argmax(lanes)
    for k in range(lane, len(values), _LANES):
        if abs(values[k]) == lanes[lane]:
            return k
    return 0


@kernel
def _factorize(gram, active, start, m, L):
    """Rows ``start`` to ``m`` of the Cholesky factor; false if an atom is dependent."""
    for r in range(start, m):
        row = gram[active[r]]
        left = row[active[r]]
        for j in range(r):
            inner = row[active[j]]
            for q in range(j):
                inner -= L[r, q] * L[j, q]
            L[r, j] = inner / L[j, j]
            left -= L[r, j] ** 2
        if not left > _DEPENDENT * row[active[r]]:
            return False
        L[r, r] = np.sqrt(left)
    return True


@kernel
def _solve_transposed(L, m, right, solution):
    """Solve L' solution = right, for the leading m rows of the factor."""
    for r in range(m - 1, -1, -1):
        value = right[r]
        for q in range(r + 1, m):
            value -= L[q, r] * solution[q]
        solution[r] = value / L[r, r]


@kernel
def _way_to_zero(signs, coefficients, step, m):
    """How far along ``step`` the first coefficient reaches zero, and which."""
    way, first = np.inf, -1
    for r in range(m):
        if signs[r] * step[r] < 0.0 and abs(coefficients[r] / step[r]) < way:
            way, first = abs(coefficients[r] / step[r]), r
    return way, first


@kernel
def _leave(active, signs, coefficients, r, m):
    """Remove the atom at ``r`` of the ``m`` active ones."""
    for j in range(r, m - 1):
        active[j] = active[j + 1]
        signs[j] = signs[j + 1]
        coefficients[j] = coefficients[j + 1]


@kernel
def _pass_over(L, m, signs, coefficients, step):
    """Let the last atom in although it depends on the others; one of them leaves.

    Along this way the combination stays and its l1 norm falls. Returns which one
    leaves, or -1 if rounding errors hide it.
    """
    _solve_transposed(L, m - 1, L[m - 1], step)
    for r in range(m - 1):
        step[r] *= -signs[m - 1]
    way, first = _way_to_zero(signs, coefficients, step, m - 1)
    if first >= 0:
        for r in range(m - 1):
            coefficients[r] += way * step[r]
        coefficients[m - 1] = way * signs[m - 1]
    return first


@kernel
def pursue(Z, atoms, gram, alpha, indices, values):
    """Code each row of ``Z``.

    Parameters
    ----------
    Z : float64 array of shape (n, n_dimensions)
    atoms : float64 array of shape (n_dimensions, n_atoms)
        Columns of norm 1, or 0; as many as fill whole lanes.
    gram : float64 array of shape (n_atoms, n_atoms)
    alpha : float
        Positive weight of the l1 norm.
    indices, values : int64 and float64 arrays of shape (n, n_nonzero), written
    """
    n_atoms = len(gram)
    cap = indices.shape[1]
    lanes = np.empty(_LANES)
    correlations, residual = np.empty((1, n_atoms)), np.empty(n_atoms)
    correlation = correlations[0]
    active, signs = np.empty(cap + 1, np.int64), np.empty(cap + 1)
    coefficients, step = np.empty(cap + 1), np.empty(cap + 1)
    forward, L = np.empty(cap + 1), np.empty((cap + 1, cap + 1))
    for i in range(len(Z)):
        correlation[:] = 0.0
        _correlate(Z[i : i + 1], atoms, correlations)
        residual[:] = correlation
        m = 0
        threshold = alpha + 1e-9 * abs(correlation[_largest(correlation, lanes)])
        for _ in range(8 * cap):  # more turns than it takes, should rounding go round
            best = _largest(residual, lanes)
            if not abs(residual[best]) > threshold:
                break
            active[m], coefficients[m] = best, 0.0
            signs[m] = 1.0 if residual[best] > 0.0 else -1.0
            m += 1
            kept = m  # rows of the factor that hold
            independent = _factorize(gram, active, m - 1, m, L)
            if m > cap or not independent:
                leaves = -1
                if not independent:
                    leaves = _pass_over(L, m, signs, coefficients, step)
                if leaves < 0:
                    m -= 1
                    break
                _leave(active, signs, coefficients, leaves, m)
                m, kept = m - 1, leaves
            while m > 0 and _factorize(gram, active, kept, m, L):
                for r in range(m):
                    inner = correlation[active[r]] - alpha * signs[r]
                    for q in range(r):
                        inner -= L[r, q] * forward[q]
                    forward[r] = inner / L[r, r]
                _solve_transposed(L, m, forward, step)
                for r in range(m):
                    step[r] -= coefficients[r]
                way, leaves = _way_to_zero(signs, coefficients, step, m)
                way = min(way, 1.0)
                for r in range(m):
                    coefficients[r] += way * step[r]
                if way == 1.0:
                    break
                _leave(active, signs, coefficients, leaves, m)
                m, kept = m - 1, leaves
            residual[:] = correlation
            for r in range(m):
                step[r] = -coefficients[r]
            _add_rows(step, gram, active, m, residual)
        for r in range(m):
            indices[i, r], values[i, r] = active[r], coefficients[r]
