"""Draw two of docs/images anew: LSDN_DATA=... python docs/draw_pictures.py

They are what examples/plot_real_scans.py and the code of quickstart.md draw, sharp at
twice the width of a page.
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
from PIL import Image

HERE = Path(__file__).parent
DPI = 150


def keep(name):
    """Write what was drawn last."""
    drawn = io.BytesIO()
    plt.gcf().savefig(drawn, dpi=DPI)
    path = HERE / "images" / f"{name}.webp"
    Image.open(drawn).convert("RGB").save(path, quality=80, method=6)
    print(f"{path}: {path.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    runpy.run_path(str(HERE.parent / "examples" / "plot_real_scans.py"))
    keep("real_scans")
    text = (HERE / "quickstart.md").read_text()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        exec(re.search(r"```python\n(.*?)```", text, re.DOTALL)[1], {})
        os.chdir(HERE)
    keep("quickstart")
