"""Pictures of a report, as PNG."""

import numpy as np

from ..display import LossCurveDisplay, SynthesisDisplay
from ..display._figures import as_png, figure_to_save, white_of
from ..display._slices import PLANES, Slice

_DPI = 90


def draw_subject(sources, target, synthesis, std, mask, affine) -> bytes:
    """Draw three planes of all images of a subject, as `SynthesisDisplay` does.

    Parameters
    ----------
    sources : list of ndarray of shape (nx, ny, nz)
    target, std : ndarray of shape (nx, ny, nz) or None
    synthesis : ndarray of shape (nx, ny, nz)
    mask : ndarray of bool of the same shape
    affine : ndarray of shape (4, 4)
    """
    one = len(sources) == 1
    volumes = {
        "source" if one else f"source {i}": np.where(mask, source, 0)
        for i, source in enumerate(sources, start=1)
    }
    if target is not None:
        volumes["target"] = target
    volumes["synthesis"] = synthesis
    if target is not None:
        volumes["error"] = synthesis - target
    if std is not None:
        volumes["standard deviation"] = std
    return as_png(SynthesisDisplay(volumes, mask, affine).plot().figure_, _DPI)


def draw_losses(curves, validation_curves) -> bytes:
    """Draw training errors, and those on samples held out.

    Parameters
    ----------
    curves, validation_curves : dict of str to list of float
    """
    figure = figure_to_save((7, 4.2))
    LossCurveDisplay(curves, validation_curves).plot(figure.subplots())
    return as_png(figure, _DPI)


def draw_places(places, volume, mask, affine) -> bytes:
    """Draw where latent coordinates lie, over a brain.

    Those nearest to the slice are drawn strongest.

    Parameters
    ----------
    places : ndarray of shape (n_nodes, 3)
        In world mm.
    volume, mask : ndarray of shape (nx, ny, nz)
    affine : ndarray of shape (4, 4)
    """
    figure = figure_to_save((10, 4))
    brain = np.where(mask, volume, 0)
    middle = (affine @ [*(np.mean(i) for i in np.nonzero(mask)), 1])[:3]
    for ax, (plane, axis) in zip(figure.subplots(1, 3), PLANES.items(), strict=True):
        cut = Slice(mask, affine, axis, None)
        cut.draw(ax, brain, cmap="gray", vmin=0, vmax=white_of(volume, mask))
        across, up = (i for i in range(3) if i != axis)
        distance = abs(places[:, axis] - middle[axis])
        ax.scatter(
            places[:, across],
            places[:, up],
            s=30,
            color="#ffb000",
            edgecolors="black",
            linewidths=0.6,
            alpha=np.clip(1 - distance / 60, 0.3, 1),
        )
        low = np.minimum(cut.window[:, 0], places[:, [across, up]].min(axis=0) - 3)
        high = np.maximum(cut.window[:, 1], places[:, [across, up]].max(axis=0) + 3)
        ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), facecolor="black")
        ax.set_title(plane, fontsize="medium")
    return as_png(figure, _DPI)
