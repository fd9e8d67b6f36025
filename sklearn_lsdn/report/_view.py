"""A brain to click through, on a page of its own within the page."""

import base64
import io
import re
from dataclasses import dataclass

import numpy as np

from .._utils.optional import require
from ..display._slices import Brain

_FINE = 1.0  # mm: voxels are averaged until they are about as large
_MARGIN = 2  # voxels around the brain
_COLOURS = 16  # so few take half the bytes
_THROUGH = 0.7  # opacity of a map that is small nowhere
_COARSE = 500_000  # pixels: fewer take little without loss
_SMALL = 2  # colours on either side of 0, where the synthesis is seen
_HIGHER = 1.1  # is nilearn's picture than its slices, for what it writes below
_ICON = re.compile(r'<link rel="(?:shortcut )?icon"[^>]*>')  # would be fetched
_PNG = re.compile(r"data:image/png;base64,([\w+/=\s]+)")


@dataclass(frozen=True)
class View:
    """A page to click through.

    Parameters
    ----------
    page : str
        By nilearn's `view_img`; it needs nothing from elsewhere.
    ratio : float
        Of the height of its slices to their width.
    """

    page: str
    ratio: float

    @classmethod
    def of(cls, synthesis, over, mask, affine, cut_coords) -> "View":
        """Make it.

        Parameters
        ----------
        synthesis : Panel
            What lies below.
        over : Panel or None
            The map that lies over it, where it is not small.
        mask : ndarray of bool of shape (nx, ny, nz)
            The brain.
        affine : ndarray of shape (4, 4)
        cut_coords : sequence of 3 float
            Where it opens, in world mm.
        """
        brain = Brain(mask, affine)
        look = dict(cut_coords=tuple(cut_coords), black_bg=True, dim=0, title="")
        look["resampling_interpolation"] = "nearest"
        shown, top = _small(synthesis, brain), synthesis
        above = None if over is None else _small(over, brain, 0)
        least = 0 if over is None else least_shown(over)
        if above is not None and abs(above.get_fdata()).max() > least:
            look |= dict(bg_img=_in_window(shown, synthesis), threshold=least)
            few = require("matplotlib").colormaps[over.cmap].resampled(_COLOURS)
            look |= dict(cmap=few, opacity=1 if over.low < 0 else _THROUGH)
            shown, top = above, over
        else:
            look |= dict(bg_img=None, cmap="gray", threshold=None)
        low, high = (float(f"{end:.3g}") for end in (top.low, top.high))
        look |= dict(vmin=low, vmax=high, symmetric_cmap=low == -high)
        view = require("nilearn.plotting").view_img(shown, **look)
        page = _PNG.sub(_as_webp, _ICON.sub("", view.get_standalone()))
        x, y, z = shown.shape
        return cls(page, _HIGHER * max(y, z) / (2 * x + y))


def least_shown(panel) -> float:
    """From which size on the values of a map are drawn over the synthesis."""
    return _SMALL * (panel.high - panel.low) / _COLOURS


def _small(panel, brain, outside=None):
    """The part with brain, in cubes of about a millimetre, as an image."""
    fill = panel.low if outside is None else outside
    part = np.where(brain.mask, panel.volume, fill)
    part = part[tuple(map(slice, brain.low, brain.high + 1))]
    blocks = np.maximum(1, np.round(_FINE / brain.step)).astype(int)
    filled = -(np.array(part.shape) + 2 * _MARGIN) % blocks
    part = np.pad(part, [(_MARGIN, _MARGIN + n) for n in filled], constant_values=fill)
    shape = np.stack([np.array(part.shape) // blocks, blocks], axis=1).ravel()
    part = part.reshape(shape).mean(axis=(1, 3, 5), dtype=np.float32)
    sizes = brain.step * blocks
    side = sizes.min()
    nearest = [
        np.minimum((np.arange(round(n * k)) + 0.5) / k, n - 1).astype(int)
        for n, k in zip(part.shape, sizes / side, strict=True)
    ]
    affine = np.diag([side, side, side, 1])
    affine[:3, 3] = brain.mm(brain.low - _MARGIN - 0.5) + side / 2
    return require("nibabel").Nifti1Image(part[np.ix_(*nearest)], affine)


def _in_window(image, panel):
    """An image from 0, drawn black, to 1, which is drawn white if it is there."""
    values = (image.get_fdata(dtype=np.float32) - panel.low) / (panel.high - panel.low)
    values = np.clip(values, 0, 1)
    values[0, 0, 0] = 1  # outside the brain
    return type(image)(values, image.affine)


def _as_webp(found):
    """A PNG in words as a WebP: without loss, but for what is large and grey."""
    image = require("PIL.Image").open(io.BytesIO(base64.b64decode(found[1])))
    values = np.asarray(image.convert("RGB"))
    grey = (values[..., :2] == values[..., 1:]).all()
    file = io.BytesIO()
    if grey and image.width * image.height > _COARSE:
        image.convert("RGB").save(file, "webp", quality=80, method=2)
    else:
        image.save(file, "webp", lossless=True, quality=50, method=2)
    text = base64.b64encode(file.getvalue()).decode("ascii")
    return f"data:image/webp;base64,{text}"
