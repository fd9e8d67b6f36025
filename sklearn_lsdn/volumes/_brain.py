"""What is brain in a scan without a mask: what its background is not.

A background is what fills the border of a volume: one value, or values that hardly
differ beside those of tissue.
"""

import numpy as np
from scipy import ndimage

_CONSTANT = 0.1  # share of the border that one value fills, to be a background
_NEAR = 0.2  # share of it that values fill which hardly differ, to be one
_FEWEST = 5  # voxels of it, at least
_WINDOW = 0.02  # of the range of intensities: what hardly differs
_RESIDUE = 0.1  # of the scale of tissue: what a background may differ by, at most
_NOISE = 2.5  # times the border's 99th percentile: hardly any noise goes beyond
_ONE_SIDED = 0.15  # share of tissue on the other side of the background, at most
_FIRST = 0.25  # of undershoots' typical size: those next to tissue exceed it
_RINGING = 0.02  # of tissue's voxels: so many undershoots come of interpolation
_REACH = 3  # voxels by which gaps in tissue are bridged
_AMID = 0.2  # share of undershoots in such gaps, at most
_PIECE = 0.01  # of the largest piece: smaller ones are specks, or holes


def foreground(volume) -> np.ndarray:
    """Voxels that differ from the background, specks and holes among them.

    Parameters
    ----------
    volume : float32 array of shape (nx, ny, nz)
        Voxels that are not finite are taken for background.

    Returns
    -------
    foreground : ndarray of bool of the same shape
        All voxels, where there is no background.
    """
    found = np.isfinite(volume)
    edge = border(volume)
    edge = edge[np.isfinite(edge)]
    backgrounds = _backgrounds(volume, edge)
    if not len(backgrounds):
        return found
    for value in backgrounds:
        found &= volume != value
    if found.any():
        distances = volume - backgrounds[0]
        least, side = _residue(distances, found, edge - backgrounds[0])
        if least:
            found &= (side * distances if side else np.abs(distances)) > least
    return found


def recorded(volume) -> np.ndarray:
    """Voxels that do not hold the constant around a stripped scan, if there is one."""
    edge = border(volume)
    found = np.isfinite(volume)
    for value in _constants(edge[np.isfinite(edge)]):
        found &= volume != value
    return found


def border(volume) -> np.ndarray:
    """Voxels of a volume's faces."""
    on_face = np.ones(volume.shape, dtype=bool)
    on_face[1:-1, 1:-1, 1:-1] = False
    return volume[on_face]


def _backgrounds(volume, edge):
    """The value that fills most of the border, and others that fill much of it."""
    if not edge.size:
        return []
    if constants := _constants(edge):
        return constants
    finite = volume[np.isfinite(volume)]
    width = _WINDOW * np.ptp(np.percentile(finite, [0.1, 99.9]))
    edge = np.sort(edge)
    inside = np.searchsorted(edge, edge + width, side="right") - np.arange(edge.size)
    densest = inside.argmax()
    if inside[densest] < max(_NEAR * edge.size, _FEWEST):
        return []
    return [np.median(edge[densest : densest + inside[densest]])]


def _constants(edge):
    different, counts = np.unique(edge, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    common = counts[order] >= max(_CONSTANT * edge.size, _FEWEST)
    return list(different[order[common]])


def _residue(distances, found, edge):
    """What noise or interpolation have left in a background.

    Parameters
    ----------
    distances : ndarray of shape (nx, ny, nz)
        From the background.
    found : ndarray of bool of the same shape
        What differs from it.
    edge : ndarray
        Those of the border.

    Returns
    -------
    least : float
        What differs by no more is background.
    side : {1, -1, 0}
        Whether it is so on one side of the background alone: the other has no tissue.
    """
    sizes = np.abs(distances[found])
    limit = _RESIDUE * _typical(sizes)
    near = np.abs(edge[np.abs(edge) <= limit])
    least = min(_NOISE * np.percentile(near, 99), limit) if near.size else 0.0
    n_tissue = np.count_nonzero(sizes > limit)
    n_below = np.count_nonzero(distances[found] < -limit)
    if min(n_below, n_tissue - n_below) > _ONE_SIDED * n_tissue:
        return least, 0
    # On one side alone, what lies on the other tells how far interpolation overshoots.
    side = 1 if n_below < n_tissue - n_below else -1
    below = -side * distances
    undershoots = below[found & (below > least)]
    if undershoots.size:
        first = max(least, _FIRST * _typical(undershoots))
        undershoots = below[found & (below > first)]
    if len(undershoots) < _RINGING * n_tissue:
        return least, 0
    # Undershoots lie around tissue; what lies amid it is tissue of the other sign.
    tissue = np.pad(found & (below < -limit), _REACH)
    bridged = ndimage.binary_closing(tissue, iterations=_REACH)
    bridged = bridged[(slice(_REACH, -_REACH),) * 3]
    if bridged[found & (below > first)].mean() > _AMID:
        return least, 0
    return min(np.percentile(undershoots, 95), limit), side


def _typical(sizes):
    """A mean in which each weighs as much as itself, so that many small count little.

    The highest per cent, vessels or artefacts, is drawn in.
    """
    drawn_in = np.minimum(sizes, np.percentile(sizes, 99)).astype(np.float64)
    return np.square(drawn_in).sum() / drawn_in.sum()


def in_large_pieces(mask) -> np.ndarray:
    """Without specks, and with small holes filled.

    Parameters
    ----------
    mask : ndarray of bool of shape (nx, ny, nz)

    Returns
    -------
    mask : ndarray of bool of the same shape
    """
    if not mask.any():
        return mask
    box = tuple(
        slice(i.min(), i.max() + 1) for i in map(np.flatnonzero, _shadows(mask))
    )
    pieces, _ = ndimage.label(np.pad(mask[box], 1), np.ones((3, 3, 3)))
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    inside = (sizes >= _PIECE * sizes.max())[pieces]
    holes, _ = ndimage.label(~inside)
    sizes = np.bincount(holes.ravel())
    small = sizes < _PIECE * np.count_nonzero(inside)
    small[holes[0, 0, 0]] = False  # what lies around
    inside |= small[holes]
    whole = np.zeros_like(mask)
    whole[box] = inside[1:-1, 1:-1, 1:-1]
    return whole


def _shadows(mask):
    """Whether anything lies in each slice, along each axis."""
    return mask.any(axis=(1, 2)), mask.any(axis=(0, 2)), mask.any(axis=(0, 1))
