"""Affine transforms between the worlds of two images."""

from dataclasses import dataclass

import numpy as np
from nibabel.affines import apply_affine
from scipy.linalg import polar
from scipy.spatial.transform import Rotation

from .._utils.files import written_whole
from .._utils.optional import require

TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""World axes of ITK, from those of NIfTI, and back."""


@dataclass(frozen=True)
class AffineTransform:
    """From the world mm of one image to another's, rigid or not.

    Parameters
    ----------
    matrix : ndarray of shape (4, 4)
        Takes points of the fixed image to those of the moving one.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_lsdn.volumes._transforms import AffineTransform
    >>> shift = AffineTransform(np.array([[1, 0, 0, 3], [0, 1, 0, 0], [0, 0, 1, 4],
    ...                                   [0, 0, 0, 1.0]]))
    >>> shift.angle, shift.displacement([[10, 20, 30]])
    (0.0, array([5.]))
    >>> shift.then(shift).matrix[:3, 3]
    array([6., 0., 8.])
    >>> AffineTransform(np.diag([1.1, 1.0, 0.9, 1.0])).zooms
    array([1.1, 1. , 0.9])
    """

    matrix: np.ndarray

    @property
    def angle(self) -> float:
        """Of the rotation nearest to it, in degrees."""
        turn = Rotation.from_matrix(self._rotation())
        return float(np.degrees(turn.magnitude()))

    @property
    def mirrors(self) -> bool:
        """Whether it makes left hands right hands."""
        return bool(np.linalg.det(self.matrix[:3, :3]) <= 0)

    @property
    def zooms(self) -> np.ndarray:
        """By how much it stretches each axis of the fixed image; 1 if rigid."""
        return np.linalg.norm(self.matrix[:3, :3], axis=0)

    def apply(self, points) -> np.ndarray:
        """Take world points (n, 3) of the fixed image to the moving image."""
        return apply_affine(self.matrix, points)

    def displacement(self, points) -> np.ndarray:
        """How far each of the points (n, 3) is moved, in mm."""
        return np.linalg.norm(self.apply(points) - np.asarray(points), axis=1)

    def then(self, following) -> "AffineTransform":
        """Both in turn, as one: for images that are registered in two steps."""
        return AffineTransform(following.matrix @ self.matrix)

    def pose(self, middle) -> "AffineTransform":
        """The rigid one that turns as it does, and takes a point where it does."""
        matrix = np.eye(4)
        matrix[:3, :3] = rotation = self._rotation()
        matrix[:3, 3] = self.apply(middle) - rotation @ middle
        return AffineTransform(matrix)

    def _rotation(self):
        """The nearest, of what is left when a mirror is taken out."""
        rotation, _ = polar(self.matrix[:3, :3])
        return rotation * np.sign(np.linalg.det(rotation))

    def save(self, path, *, overwrite=False):
        """Write an ITK transform file, which ITK, ANTs and 3D Slicer read.

        Parameters
        ----------
        path : path-like
            Ending in ``.tfm``.
        overwrite : bool, default=False
            Replace an existing file.
        """
        sitk = require("SimpleITK")
        with written_whole(path, suffix=".tfm", overwrite=overwrite) as temporary:
            sitk.WriteTransform(self.to_itk(), str(temporary))

    def to_itk(self):
        """The same for ITK, whose world has other axes."""
        matrix = TO_LPS @ self.matrix @ TO_LPS
        itk = require("SimpleITK").AffineTransform(3)
        itk.SetMatrix(matrix[:3, :3].ravel().tolist())
        itk.SetTranslation(matrix[:3, 3].tolist())
        return itk

    @classmethod
    def from_itk(cls, itk) -> "AffineTransform":
        """Of a linear transform of ITK."""
        matrix = np.eye(4)
        matrix[:3, :3] = np.reshape(itk.GetMatrix(), (3, 3))
        matrix[:3, 3] = itk.TransformPoint((0.0, 0.0, 0.0))
        return cls(TO_LPS @ matrix @ TO_LPS)
