"""A brain to click through, on a page of its own within the page."""

import base64
import io
import re

import numpy as np

from .._utils.optional import require
from ..display._slices import Brain

_FINE = 1.0  # mm: voxels are averaged until they are about as large
_MARGIN = 2  # voxels around the brain
_COLOURS = 16  # so few take half the bytes
_SMALL = 2  # colours on either side of 0, where the synthesis is seen
_ICON = re.compile(r'<link rel="(?:shortcut )?icon"[^>]*>')  # would be fetched
_PNG = re.compile(r"data:image/png;base64,([\w+/=\s]+)")


def interactive_view(synthesis, over, mask, affine, cut_coords) -> str:
    """Make the page, which needs nothing from elsewhere.

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

    Returns
    -------
    html : str
        A page by nilearn's `view_img`.
    """
    brain = Brain(mask, affine)
    look = dict(cut_coords=tuple(cut_coords), black_bg=True, dim=0, title="")
    look["resampling_interpolation"] = "nearest"
    view_img = require("nilearn.plotting").view_img
    shown, top = _small(np.where(mask, synthesis.volume, 0), brain), synthesis
    above = None if over is None else _small(np.where(mask, over.volume, 0), brain)
    if above is not None and abs(above.get_fdata()).max() > _threshold(over):
        look |= dict(bg_img=_clipped(shown, synthesis), threshold=_threshold(over))
        look["cmap"] = require("matplotlib").colormaps[over.cmap].resampled(_COLOURS)
        shown, top = above, over
    else:
        look |= dict(bg_img=None, cmap="gray", threshold=None)
    low, high = (float(f"{end:.3g}") for end in (top.low, top.high))
    look["symmetric_cmap"] = low < 0
    page = view_img(shown, vmax=high, vmin=low, **look).get_standalone()
    return _PNG.sub(_as_webp, _ICON.sub("", page))


def _small(volume, brain):
    """The part with brain, in voxels of about a millimetre, as an image."""
    steps = np.maximum(1, np.round(_FINE / brain.step)).astype(int)
    low = np.maximum(brain.low - _MARGIN, 0)
    high = brain.high + 1 + _MARGIN
    part = volume[tuple(map(slice, low, high))]
    part = np.pad(part, [(0, -n % k) for n, k in zip(part.shape, steps, strict=True)])
    blocks = np.stack([np.array(part.shape) // steps, steps], axis=1).ravel()
    part = part.reshape(blocks).mean(axis=(1, 3, 5), dtype=np.float32)
    affine = np.diag([*(brain.step * steps), 1])
    affine[:3, 3] = brain.mm(low + (steps - 1) / 2)
    return require("nibabel").Nifti1Image(part, affine)


def _threshold(panel):
    """Below which a map is not drawn."""
    return _SMALL * (panel.high - panel.low) / _COLOURS


def _clipped(image, panel):
    """An image, no darker or brighter than what is drawn black or white."""
    values = np.clip(image.get_fdata(dtype=np.float32), panel.low, panel.high)
    return type(image)(values, image.affine)


def _as_webp(found):
    """A PNG in words as a WebP: without loss, but for what is grey throughout."""
    image = require("PIL.Image").open(io.BytesIO(base64.b64decode(found[1])))
    values = np.asarray(image.convert("RGB"))
    grey = (values[..., :2] == values[..., 1:]).all()
    file = io.BytesIO()
    if grey:
        image.convert("RGB").save(file, "webp", quality=80, method=2)
    else:
        image.save(file, "webp", lossless=True, quality=50, method=2)
    text = base64.b64encode(file.getvalue()).decode("ascii")
    return f"data:image/webp;base64,{text}"
