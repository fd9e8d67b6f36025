"""The folder of subjects' pages, beside a page that cannot hold all."""

import re
import shutil
from pathlib import Path

_PAGE = re.compile(r"\d+_.+\.html")


def folder_beside(path) -> Path:
    """Where the pages of subjects are, of a page ``x.html`` in ``x_subjects``."""
    return Path(path).with_name(f"{Path(path).stem}_subjects")


def check_folder(path, *, overwrite=False):
    """Raise FileExistsError if what lies where the folder may have to be must stay.

    That is all but the pages of a report that may be overwritten.

    Parameters
    ----------
    path : path-like
        The page.
    overwrite : bool, default=False
        Whether it may be overwritten.
    """
    folder = folder_beside(path)
    if not folder.is_symlink() and not folder.exists():
        return
    if not _holds_pages(folder):
        raise FileExistsError(
            f"{folder} is in the way: pages of subjects may have to go there, and it "
            f"holds something else. Choose another name than {path}."
        )
    if not overwrite:
        raise FileExistsError(
            f"{folder} holds pages of an older report. Choose another name than "
            f"{path}, or allow overwriting both (overwrite=True, of commands "
            "--overwrite)."
        )


def remove_folder(path):
    """Remove the pages of an older report that a page replaces."""
    if _holds_pages(folder := folder_beside(path)):
        shutil.rmtree(folder)


def _holds_pages(folder):
    """Whether it is a folder of pages, and of nothing else."""
    return (
        folder.is_dir()
        and not folder.is_symlink()
        and all(_PAGE.fullmatch(each.name) for each in folder.iterdir())
    )
