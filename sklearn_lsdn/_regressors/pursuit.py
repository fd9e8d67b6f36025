"""Simultaneous orthogonal matching pursuit."""

from numbers import Integral

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_array


def simultaneous_omp(
    responses: ArrayLike | None = None,
    n_nonzero: int | None = None,
    *,
    gram: ArrayLike | None = None,
    targets: ArrayLike | None = None,
    mixing: ArrayLike | None = None,
    selection: str = "squared",
    return_residuals: bool = False,
) -> tuple[np.ndarray, ...]:
    """Run simultaneous orthogonal matching pursuit in Gram space.

    Chooses few rows of a matrix H whose linear combinations approximate all of its
    rows: a greedy minimiser of the Frobenius norm of H - A H over matrices A with at
    most ``n_nonzero`` columns that are not zero (equation (10) of [1]_).

    Parameters
    ----------
    responses : array-like of shape (p, n_samples), default=None
        H. Either this or ``gram``.
    n_nonzero : int, default=None
        Number of rows to choose; by default a quarter of them.
    gram : array-like of shape (p, p), default=None
        H H', in place of ``responses``.
    targets : array-like of shape (n_targets, n_samples), default=None
        What to approximate instead of H itself, with ``responses`` only.
    mixing : array-like of shape (n_targets, p), default=None
        Approximate ``mixing @ H`` instead of H itself.
    selection : {"absolute", "squared", "residual"}, default="squared"
        What the next row maximises: the sum of the absolute correlations of the
        residuals with it (the rule of [2]_), the sum of their squares, or the
        amount by which it lowers the squared residual.
    return_residuals : bool, default=False
        Also return the residual after each choice.

    Returns
    -------
    indices : ndarray of shape (n_chosen,)
        Rows of H in the order chosen. Fewer than ``n_nonzero`` if the rest are
        linear combinations of these.
    coefficients : ndarray of shape (n_targets, n_chosen)
        The columns of A that are not zero: H is about
        ``coefficients @ H[indices]``.
    residuals : ndarray of shape (n_chosen + 1,)
        Frobenius norm of the residual after 0, 1, ... choices, if
        ``return_residuals``.

    Raises
    ------
    ValueError
        If not exactly one of ``responses`` and ``gram`` is given, shapes do not
        match, a value is NaN or infinite, or ``n_nonzero`` is not within 1 and p.

    See Also
    --------
    ShrinkConnect : Shrinks every layer of a network with it.

    Notes
    -----
    With the chosen rows projected out, the Gram matrix of the residuals is the Schur
    complement of the chosen block, which each choice updates by a matrix of rank 1:
    the pursuit takes O(p^2) a choice, whatever the number of samples.

    References
    ----------
    .. [1] H. V. Nguyen, K. Zhou and R. Vemulapalli, "Cross-domain synthesis of
       medical images using efficient location-sensitive deep network", MICCAI
       2015, LNCS 9349, 677-684. :doi:`10.1007/978-3-319-24553-9_83`
    .. [2] J. A. Tropp, A. C. Gilbert and M. J. Strauss, "Simultaneous sparse
       approximation via greedy pursuit", ICASSP 2005, vol. 5, 721-724.
       :doi:`10.1109/ICASSP.2005.1416405`

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_lsdn import simultaneous_omp
    >>> H = np.array([[1.0, 0.0, 2.0], [0.0, 1.0, 0.0], [2.0, 0.0, 4.0]])
    >>> indices, coefficients = simultaneous_omp(H, 2)
    >>> sorted(indices.tolist())
    [0, 1]
    >>> bool(np.allclose(coefficients @ H[indices], H))
    True
    """
    if (responses is None) == (gram is None):
        raise ValueError("Give either responses or gram.")
    if gram is None:
        responses = check_array(responses, dtype=np.float64, input_name="responses")
        gram = responses @ responses.T
    else:
        gram = check_array(gram, dtype=np.float64, input_name="gram")
        if gram.shape[0] != gram.shape[1]:
            raise ValueError(f"gram must be square, got shape {gram.shape}.")
        if targets is not None:
            raise ValueError("targets go with responses, not with gram.")
    p = len(gram)
    n_nonzero = max(1, p // 4) if n_nonzero is None else n_nonzero
    if not (isinstance(n_nonzero, Integral) and 1 <= n_nonzero <= p):
        raise ValueError(
            f"n_nonzero must be an integer within 1 and {p}, got {n_nonzero}."
        )
    if selection not in SELECTIONS:
        raise ValueError(
            f"selection must be one of {', '.join(map(repr, SELECTIONS))}, got "
            f"{selection!r}."
        )
    if targets is not None and mixing is not None:
        raise ValueError("Give either targets or mixing.")
    if mixing is not None:
        mixing = check_array(mixing, dtype=np.float64, input_name="mixing")
        if mixing.shape[1] != p:
            raise ValueError(f"mixing must have {p} columns, got {mixing.shape[1]}.")
        cross = mixing @ gram
        energy = float((cross * mixing).sum())
    elif targets is not None:
        targets = check_array(targets, dtype=np.float64, input_name="targets")
        if targets.shape[1] != responses.shape[1]:
            raise ValueError(
                f"targets have {targets.shape[1]} samples and responses "
                f"{responses.shape[1]}."
            )
        cross, energy = targets @ responses.T, float((targets**2).sum())
    else:
        cross, energy = gram, float(np.trace(gram))
    indices, residuals = _pursue(gram, cross, energy, n_nonzero, SELECTIONS[selection])
    block = gram[np.ix_(indices, indices)]
    coefficients = np.linalg.solve(block, cross[:, indices].T).T
    if return_residuals:
        return indices, coefficients, np.sqrt(residuals)
    return indices, coefficients


# Scores of the rows, from the residuals' correlations with them, the rows' own squared
# norms, and what of these norms the chosen rows do not explain.
SELECTIONS = {
    "absolute": lambda cross, norm, left: np.abs(cross).sum(axis=0) / np.sqrt(norm),
    "squared": lambda cross, norm, left: (cross**2).sum(axis=0) / norm,
    "residual": lambda cross, norm, left: (cross**2).sum(axis=0) / left,
}


def _pursue(gram, cross, energy, n_nonzero, score):
    """Choose rows; return them and the squared residuals after each choice."""
    norm = np.diag(gram).copy()
    schur, cross = gram.copy(), cross.copy()
    independent = norm > 0
    indices, residuals = [], [energy]
    with np.errstate(divide="ignore", invalid="ignore"):
        for _ in range(n_nonzero):
            left = np.diag(schur)
            # Below this the remainder of a row is rounding error.
            independent &= left > 1e-10 * norm
            if not independent.any():
                break
            scores = np.where(independent, score(cross, norm, left), -np.inf)
            j = int(np.argmax(scores))
            gain = float((cross[:, j] ** 2).sum() / schur[j, j])
            indices.append(j)
            residuals.append(max(residuals[-1] - gain, 0.0))
            cross -= np.outer(cross[:, j], schur[j] / schur[j, j])
            schur -= np.outer(schur[:, j], schur[j] / schur[j, j])
            independent[j] = False
    return np.array(indices, dtype=np.intp), np.array(residuals)
