"""Which columns of ``X`` are coordinates, and where latent ones start."""

from numbers import Integral

import numpy as np


def resolve_coordinates(coordinates, n_features, names) -> list[int]:
    """Turn the ``coordinates`` parameter into column indices."""
    if isinstance(coordinates, str):  # "auto", the only string that is let through
        coordinates = min(3, n_features - 1)
    if isinstance(coordinates, Integral):
        if coordinates >= n_features:
            raise ValueError(
                f"coordinates={coordinates} leaves no feature: X has {n_features} "
                "column(s). Give fewer coordinates."
            )
        return list(range(n_features - coordinates, n_features))
    columns = []
    for column in coordinates:
        if isinstance(column, str):
            if names is None:
                raise ValueError(
                    f"coordinates names the column {column!r}, but X has no column "
                    "names. Pass a DataFrame, or give column indices."
                )
            if column not in names:
                raise ValueError(
                    f"coordinates names the column {column!r}, which X does not have. "
                    f"Its columns are {', '.join(map(repr, names))}."
                )
            columns.append(list(names).index(column))
        elif isinstance(column, bool | np.bool_) or not isinstance(column, Integral):
            raise ValueError(
                f"coordinates must hold column indices or column names, got {column!r}."
            )
        elif not -n_features <= column < n_features:
            raise ValueError(
                f"coordinates holds the column index {column}, but X has "
                f"{n_features} columns."
            )
        else:
            columns.append(int(column) % n_features)
    if len(set(columns)) < len(columns):
        raise ValueError(f"coordinates names a column twice: {list(coordinates)!r}.")
    if len(columns) == n_features:
        raise ValueError("coordinates names every column of X and leaves no feature.")
    return columns


def weighted_rows(coordinates, weight, n, rng):
    """Draw ``n`` rows in proportion to weight, whatever the order of the rows."""
    order = (
        np.lexsort(coordinates.T) if coordinates.shape[1] else np.arange(len(weight))
    )
    cumulated = np.cumsum(weight[order])
    at = np.searchsorted(cumulated / cumulated[-1], rng.random_sample(n), side="right")
    return order[np.minimum(at, len(order) - 1)]


def as_slice(columns):
    """Neighbouring columns as a slice, which needs no copy."""
    first, n = (columns[0] if len(columns) else 0), len(columns)
    together = list(columns) == list(range(first, first + n))
    return slice(first, first + n) if together else list(columns)
