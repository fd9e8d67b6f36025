"""Draw pictures of docs/images anew: LSDN_DATA=... python docs/draw_pictures.py

Two are what examples/plot_real_scans.py and the code of quickstart.md draw, sharp at
twice the width of a page. Thumbnails are parts of what examples draw, readable where
the whole is not.
"""

import io
import os
import re
import runpy
import tempfile
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.transforms import Bbox
from PIL import Image

HERE = Path(__file__).parent
DPI = 150
THUMBNAIL = 400, 280
PARTS = {  # of an example: the figure, and which of its axes
    "real_scans": (0, [2, 3]),
    "masks_and_places": (1, [0]),
    "several_contrasts": (0, [2, 3]),
    "uncertainty_and_novelty": (0, [5, 11]),
    "classifier": (0, [2, 6]),
    "methods_side_by_side": (0, [9]),
    "onnx_without_this_package": (0, [1, 2]),
}


def keep(name, figure, part=None, size=None):
    """Write a part of a figure, in inches, of at most some size."""
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=DPI, bbox_inches=part)
    image = Image.open(drawn).convert("RGB")
    image.thumbnail(size or image.size)
    path = HERE / "images" / f"{name}.webp"
    image.save(path, quality=80, method=6)
    print(f"{path}: {path.stat().st_size / 1024:.0f} KiB")


def keep_alone(figure, numbers):
    """Leave these axes alone in a figure; what they take of it, in inches."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # which would move them once more
    kept = [figure.axes[number] for number in numbers]
    for ax in figure.axes:
        ax.set_visible(ax in kept)
    taken = Bbox.union([ax.get_tightbbox() for ax in kept])
    return taken.transformed(figure.dpi_scale_trans.inverted()).padded(0.03)


if __name__ == "__main__":
    for example, (number, axes) in PARTS.items():
        plt.close("all")
        runpy.run_path(str(HERE.parent / "examples" / f"plot_{example}.py"))
        figure = plt.figure(plt.get_fignums()[number])
        if example == "real_scans":
            keep(example, figure)
        keep(f"thumbnails/{example}", figure, keep_alone(figure, axes), THUMBNAIL)
    text = (HERE / "quickstart.md").read_text()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        exec(re.search(r"```python\n(.*?)```", text, re.DOTALL)[1], {})
        os.chdir(HERE)
    keep("quickstart", plt.gcf())
