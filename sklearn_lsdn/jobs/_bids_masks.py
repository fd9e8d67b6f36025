"""Brain masks of BIDS datasets: which of them belongs to a scan."""

from dataclasses import dataclass
from pathlib import Path

from .._utils.names import Name, entities_of, is_image, same_value, split_name

_OF_ONE_PLACE = ("sub", "ses", "space")
_ITS_OWN = {"desc", "label"}  # entities of a mask that say nothing of its scan
# What tools that remove skulls put after the name of their input. What is a mask to one
# of them is the brain's image to another, if there is a mask beside it.
_ENDINGS = {"bet": 1000.0} | dict.fromkeys(
    ("mask", "bet_mask", "brain_mask", "brainmask", "desc-brain_mask"), float("inf")
)
_ENDINGS["BrainExtractionMask"] = float("inf")


@dataclass(frozen=True)
class MaskFile:
    """An image that may be a mask of the brain.

    Parameters
    ----------
    path : Path
    entities : dict of str to str
        As its name gives them, or else its folders.
    suffix : str
    """

    path: Path
    entities: dict
    suffix: str

    def likeness(self, scan) -> float:
        """How many entities it shares with its scan; below 0 if it is of another.

        Parameters
        ----------
        scan : Scan

        Examples
        --------
        >>> from pathlib import Path
        >>> from sklearn_lsdn.jobs._bids import Scan
        >>> from sklearn_lsdn.jobs._bids_masks import MaskFile
        >>> scan = Scan(Path("sub-1_run-2_T1w.nii"), {"sub": "1", "run": "2"}, "T1w")
        >>> names = "sub-1_desc-brain_mask", "sub-1_run-2_desc-brain_mask"
        >>> names += "sub-1_task-rest_desc-brain_mask", "sub-1_run-2_T1w_bet_mask"
        >>> [MaskFile.of(Path(f"{name}.nii")).likeness(scan) for name in names]
        [1, 2, -1, inf]
        """
        stem, of = split_name(self.path)[0], split_name(scan.path)[0]
        if stem.startswith(f"{of}_") and (ending := stem[len(of) + 1 :]) in _ENDINGS:
            return _ENDINGS[ending]
        theirs = scan.entities | {"mod": scan.suffix}
        ours = dict(self.entities)
        if "space" not in theirs and ours.get("space") == scan.suffix:
            del ours["space"]  # as of masks on the grid of a T1w
        is_brain = self.suffix == "mask" and "brain" in map(ours.get, _ITS_OWN)
        if not is_brain or ours.get("label", "brain") != "brain":
            return -1
        told = ours.keys() - _ITS_OWN
        for key in told.union(_OF_ONE_PLACE):
            if not same_value(ours.get(key, ""), theirs.get(key, "")):
                return -1
        return len(told)

    @classmethod
    def of(cls, path) -> "MaskFile":
        """Take a file's name and folders apart."""
        name = Name.parse(split_name(path)[0])
        return cls(path, entities_of(path) | name.entities, name.suffix)


class Masks:
    """Images among which to look for masks.

    Parameters
    ----------
    files : iterable of MaskFile
    """

    def __init__(self, files):
        self._of_subject = {}
        for file in files:
            self._of_subject.setdefault(file.entities.get("sub"), []).append(file)

    @classmethod
    def in_folder(cls, folder) -> "Masks":
        """All images in a folder and below, whatever they are called.

        Raises
        ------
        NotADirectoryError
            If there is no such folder.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise NotADirectoryError(f"{folder} is not a folder of masks.")
        paths = sorted(path for path in folder.rglob("*") if is_image(path))
        return cls(MaskFile.of(p) for p in paths if not p.name.startswith("."))

    def of(self, scan) -> list[Path]:
        """Those that belong to a scan: none, one, or several that are as near to it."""
        files = self._of_subject.get(scan.entities["sub"], [])
        near = [(file.likeness(scan), file.path) for file in files]
        best = max((likeness for likeness, _ in near), default=-1)
        return [path for likeness, path in near if likeness == best >= 0]
