"""From a path to an image, or one sentence that says why not."""

import gzip
import os
import zlib
from pathlib import Path

import nibabel as nib

ZIPPED = (".gz", ".mgz")
ZIPPED_OTHERWISE = (".bz2", ".zst")
_HALVES = [(".img", ".hdr"), (".hdr", ".img")]
_HALVES += [(half + ".gz", other + ".gz") for half, other in _HALVES]
_GZIP = b"\x1f\x8b"
_POINTERS = (b"annex/objects/", b"version https://git-lfs.github.com")
_HEADERS = (348, 540)  # bytes, in the first four of NIfTI and Analyze


def load(path: Path, name: str):
    """Load an image's header.

    Parameters
    ----------
    path : Path
    name : str
        For messages.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    PermissionError
        If it may not be read.
    ValueError
        If it is no image.
    """
    _check_is_there(path, name)
    _check_content(path, name)
    for half, other in _HALVES:
        if path.name.endswith(half):
            partner = path.with_name(path.name.removesuffix(half) + other)
            _check_is_there(partner, f"{name} needs its other half: {partner}")
    try:
        return nib.load(path)
    except Exception as error:  # readers of other formats raise errors of their own
        raise ValueError(
            f"{name} is not an image that can be read ({error}). Give a NIfTI file."
        ) from error


def _check_is_there(path, name):
    if not path.exists():
        raise FileNotFoundError(f"{name} {_why_missing(path)}")
    if path.is_dir():
        raise ValueError(f"{name} is a directory. Give an image file in it.")
    if not path.is_file():  # a pipe would be waited for
        raise ValueError(f"{name} is not a regular file. Give a NIfTI file.")
    if not os.access(path, os.R_OK):
        raise PermissionError(f"{name} cannot be read: no permission.")


def _why_missing(path):
    for link in (path, *path.parents):
        if link.is_symlink() and not link.exists():
            what = "it" if link == path else link
            return (
                f"does not exist: {what} is a link to {os.readlink(link)}, which is "
                "not here. Fetch that, of a DataLad dataset by `datalad get`."
            )
    if any(sign in str(path) for sign in "*?["):
        return "does not exist: no file matches it. Check the folder and the pattern."
    return "does not exist. Check the path."


def _check_content(path, name):
    """Raise ValueError if the first bytes are not those that the name promises."""
    with open(path, "rb") as file:
        head = file.read(1024)
    ending = path.name.lower()
    if not head:
        raise ValueError(f"{name} is empty (0 bytes). Copy or download it again.")
    if any(pointer in head for pointer in _POINTERS):
        raise ValueError(
            f"{name} is no image, but what git-annex or Git LFS keeps in its place. "
            "Fetch it by `datalad get`, or `git lfs pull`."
        )
    zipped = head.startswith(_GZIP)
    if ending.endswith(ZIPPED):
        if zipped and _unpacks_to_nothing(path):
            raise ValueError(
                f"{name} is empty: it unpacks to 0 bytes. Copy or download it again."
            )
        if not zipped and _begins_as_an_image(head):
            other = path.stem if ending.endswith(".gz") else f"{path.stem}.mgh"
            raise ValueError(
                f"{name} is not compressed, but its name says so. Rename it to {other}."
            )
    elif zipped and not ending.endswith(ZIPPED_OTHERWISE):
        is_mgh = ending.endswith(".mgh")
        other = f"{path.stem}.mgz" if is_mgh else f"{path.name}.gz"
        raise ValueError(
            f"{name} is compressed by gzip, and its name does not say so. Rename it "
            f"to {other}."
        )


def _unpacks_to_nothing(path):
    try:
        with gzip.open(path) as file:
            return not file.read(1)
    except (OSError, EOFError, zlib.error):
        return False  # damaged, which nibabel tells


def _begins_as_an_image(head):
    size = head[:4]
    known = any(int.from_bytes(size, order) in _HEADERS for order in ("little", "big"))
    return known or size == b"\0\0\0\1"  # MGH's version
