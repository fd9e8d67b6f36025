"""Pictures of a report, as PNG."""

import io

import numpy as np

from .._utils.optional import require
from ..display import LossCurveDisplay
from ..display._slices import PLANES, Slice

_TOP = 99.5  # percentile of the brain that is drawn white
_DPI = 90


def draw_subject(sources, target, synthesis, std, mask, affine) -> bytes:
    """Draw three planes of all images of a subject.

    Target and synthesis share a window, error and uncertainty a scale.

    Parameters
    ----------
    sources : list of ndarray of shape (nx, ny, nz)
    target, std : ndarray of shape (nx, ny, nz) or None
    synthesis : ndarray of shape (nx, ny, nz)
    mask : ndarray of bool of the same shape
    affine : ndarray of shape (4, 4)
    """
    top = _white(synthesis if target is None else target, mask)
    names = ["source"] if len(sources) == 1 else None
    names = names or [f"source {i + 1}" for i in range(len(sources))]
    columns = [
        (name, np.where(mask, volume, 0), "gray", 0, _white(volume, mask))
        for name, volume in zip(names, sources, strict=True)
    ]
    if target is not None:
        columns.append(("target", target, "gray", 0, top))
    columns.append(("synthesis", synthesis, "gray", 0, top))
    if target is not None:
        error = np.where(mask, synthesis - target, np.nan)
        columns.append(("synthesis - target", error, "RdBu_r", -top / 2, top / 2))
    if std is not None:
        std = np.where(mask, std, np.nan)
        columns.append(("standard deviation", std, "magma", 0, top / 2))
    figure = _figure((2.3 * len(columns), 8.2))
    axes = figure.subplots(len(PLANES), len(columns), squeeze=False)
    for row, (plane, axis) in zip(axes, PLANES.items(), strict=True):
        cut = Slice(mask, affine, axis, None)
        for ax, (_, volume, cmap, low, high) in zip(row, columns, strict=True):
            cut.draw(ax, volume, cmap=cmap, vmin=low, vmax=high)
        row[0].set_ylabel(plane)
    for column, (name, *_) in zip(axes.T, columns, strict=True):
        column[0].set_title(name, fontsize="medium")
        unit = "source" if name.startswith("source") else "target"
        figure.colorbar(
            column[-1].images[0],
            ax=list(column),
            location="bottom",
            shrink=0.9,
            label=f"units of the {unit}",
        ).ax.locator_params(nbins=4)
    return _png(figure)


def draw_losses(curves, validation_curves) -> bytes:
    """Draw training errors, and those on samples held out.

    Parameters
    ----------
    curves, validation_curves : dict of str to list of float
    """
    figure = _figure((7, 4.2))
    LossCurveDisplay(curves, validation_curves).plot(figure.subplots())
    return _png(figure)


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
    figure = _figure((10, 4))
    brain = np.where(mask, volume, 0)
    middle = (affine @ [*(np.mean(i) for i in np.nonzero(mask)), 1])[:3]
    for ax, (plane, axis) in zip(figure.subplots(1, 3), PLANES.items(), strict=True):
        cut = Slice(mask, affine, axis, None)
        cut.draw(ax, brain, cmap="gray", vmin=0, vmax=_white(volume, mask))
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
    return _png(figure)


def _white(volume, mask):
    top = float(np.percentile(volume[mask], _TOP))
    return top if top > 0 else 1.0


def _figure(size):
    return require("matplotlib.figure").Figure(figsize=size, layout="constrained")


def _png(figure):
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=_DPI, metadata={"Software": None})
    return file.getvalue()
