"""Pictures of a report, as PNG."""

from threading import Lock

import numpy as np

from ..display import LossCurveDisplay, SynthesisDisplay
from ..display._figures import as_png, figure_to_save, white_of
from ..display._slices import PLANES, Slice

_DPI = 90
_drawing = Lock()  # matplotlib is not made for several threads


def draw_subject(subject, target, synthesis, std, novelty=None) -> bytes:
    """Draw three planes of all images of a subject, as `SynthesisDisplay` does.

    Parameters
    ----------
    subject : Subject
    target, std, novelty : ndarray of shape (nx, ny, nz) or None
    synthesis : ndarray of shape (nx, ny, nz)
    """
    mask = subject.brain.mask
    sources = [np.where(mask, volume, 0) for volume in subject.own_volumes()]
    files = subject.sources
    names = [f"source {file.contrast + 1}" for file in files]
    several = files[0].among > 1
    volumes = dict(zip(names if several else ["source"], sources, strict=True))
    volumes |= {"target": target, "synthesis": synthesis}
    volumes["error"] = None if target is None else synthesis - target
    volumes |= {"standard deviation": std, "novelty": novelty}
    shown = {name: each for name, each in volumes.items() if each is not None}
    with _drawing:
        display = SynthesisDisplay(shown, mask, subject.sources[0].affine).plot()
        return as_png(display.figure_, _DPI)


def draw_losses(curves) -> bytes:
    """Draw errors of training, and those on samples held out.

    Parameters
    ----------
    curves : dict of str to tuple
        Both curves of each network, the second None where nothing was held out.
    """
    figure = figure_to_save((7, 4.2))
    training = {name: curve for name, (curve, _) in curves.items()}
    held_out = {name: curve for name, (_, curve) in curves.items()}
    LossCurveDisplay(training, held_out).plot(figure.subplots())
    return as_png(figure, _DPI)


def draw_places(places, subject) -> bytes:
    """Draw where latent coordinates lie, over a brain.

    Those nearest to the slice are drawn strongest.

    Parameters
    ----------
    places : ndarray of shape (n_nodes, 3)
        In mm, as the subject's ``places`` are.
    subject : Subject
    """
    figure = figure_to_save((10, 4))
    volume = np.where(subject.mask, subject.volumes[0], 0)
    white = white_of(volume, subject.mask)
    for ax, (plane, axis) in zip(figure.subplots(1, 3), PLANES.items(), strict=True):
        cut = Slice(subject.mask, subject.places, axis)
        cut.draw(ax, volume, cmap="gray", vmin=0, vmax=white)
        within = np.delete(places, axis, axis=1)
        ax.scatter(
            *within.T,
            s=30,
            color="#ffb000",
            edgecolors="black",
            linewidths=0.6,
            alpha=np.clip(1 - abs(places[:, axis] - cut.position) / 60, 0.3, 1),
        )
        low = np.minimum(cut.window[:, 0], within.min(axis=0) - 3)
        high = np.maximum(cut.window[:, 1], within.max(axis=0) + 3)
        ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), facecolor="black")
        ax.set_title(plane, fontsize="medium")
    return as_png(figure, _DPI)
