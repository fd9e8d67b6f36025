"""The folder of subjects' pages, beside a page that cannot hold all."""

import shutil
from pathlib import Path

MARK = "sklearn_lsdn, a subject"  # of a page of this folder, at its beginning,
_BEGINNING = 500  # which is so many bytes


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
    pages = _are_pages(folder)
    if not all(pages):
        raise FileExistsError(
            f"{folder} is in the way: pages of subjects may have to go there, and it "
            f"holds something else. Choose another name than {path}."
        )
    if pages and not overwrite:
        raise FileExistsError(
            f"{folder} holds pages of an older report. Choose another name than "
            f"{path}, or allow overwriting both (overwrite=True, of commands "
            "--overwrite)."
        )


def remove_folder(path):
    """Remove the pages of an older report that a page replaces."""
    folder = folder_beside(path)
    if folder.exists() and (pages := _are_pages(folder)) and all(pages):
        shutil.rmtree(folder)


def _are_pages(folder):
    """Of each thing in a folder whether it is a page of a subject; no link is one."""
    if folder.is_symlink() or not folder.is_dir():
        return [False]
    return [each.is_file() and _begins_as_page(each) for each in folder.iterdir()]


def _begins_as_page(path):
    with path.open("rb") as file:
        return MARK.encode() in file.read(_BEGINNING)
