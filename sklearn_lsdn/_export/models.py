"""to_onnx: trained models as ONNX models."""

from typing import TYPE_CHECKING

import numpy as np
from sklearn.base import BaseEstimator, is_classifier

from .._regressors.roles import role_of
from .graph import Graph
from .networks import answers, labels, probabilities, targets
from .volumes import write_images

if TYPE_CHECKING:
    import onnx


def to_onnx(estimator: BaseEstimator) -> "onnx.ModelProto":
    """Write a trained model as an ONNX model.

    Of a network, the model computes in float32 what ``estimator.predict`` does, of
    columns in the user's units: their scaling is part of it, and so is that of the
    targets. Of a `VolumeSynthesizer` or `VolumeSegmenter`, it computes whole volumes
    from whole volumes.

    Parameters
    ----------
    estimator : LSDN, CDN or VDN, regressor or classifier, ShrinkConnect, \
            VolumeSynthesizer or VolumeSegmenter
        A fitted one. Of ``ShrinkConnect`` the smaller network is written; of an
        ``EnsembleRegressor`` on rows, give each of ``estimators_``, to be averaged.
        A ``VolumeSynthesizer`` may hold networks, shrunken ones, and ensembles.

    Returns
    -------
    model : onnx.ModelProto
        Of a network, its input is "X", float32 of shape (n_samples,
        `n_features_in_`), the columns of ``fit``; its output "y", float32 of shape
        (n_samples, `n_outputs_`), with a column also where the target in ``fit`` was
        one-dimensional, as skl2onnx writes regressors. Of a classifier, outputs are
        "label", int64 or string of shape (n_samples,), and "probabilities", float32 of
        shape (n_samples, n_classes). ``n_samples`` is free.

        Of a synthesizer, inputs are "volumes", float32 of shape (n_sources, nx, ny,
        nz); "mask", uint8 of shape (nx, ny, nz), other than 0 in the brain; and
        "affine", float32 of shape (4, 4), from voxel indices to world mm. Axes go
        towards right, anterior and superior, and are of any size. With
        ``places="template"`` there is "places", float32 of shape (4, 4), from voxel
        indices to mm in MNI152. Outputs are "synthesis", float32 of shape (n_targets,
        nx, ny, nz), in the units of a typical training scan and 0 outside the brain,
        and of an ensemble "deviation", the standard deviation as of ``return_std``.
        ``metadata_props`` say what was trained. Of a segmenter, outputs are
        "probabilities", float32 of shape (n_classes, nx, ny, nz), and "labels", int64
        of shape (nx, ny, nz), 0 outside the brain.

    Raises
    ------
    ImportError
        If onnx is missing.
    sklearn.exceptions.NotFittedError
        If the estimator is not fitted.
    TypeError
        If ``estimator`` is neither a network of this package nor a synthesizer of
        such, or a normalizer cannot be written.
    ValueError
        If the scales of ``X`` or ``y`` in training lie beyond those of float32,
        labels are neither whole numbers nor strings, or a synthesizer sees neighbours.

    See Also
    --------
    register_onnx_converters : For networks inside a Pipeline.
    save_model : For use in Python with this package, with all attributes.

    Notes
    -----
    The model consists of plain operators of the standard's opset 17, which runtimes
    know since 2022. NaN and infinity are not refused, as ``predict`` does, but
    replaced outside the brain.

    The exponent of equation (3) of [1]_ is a sum of squared differences along the axes
    wherever a product of matrices would lose digits.

    Of a network, all samples are computed at once: give a runtime some thousand at a
    time, and its memory stays small and its caches warm. Of a synthesizer, the model
    itself goes through the brain in parts.

    Of a synthesizer, what is done to volumes of the model's voxel size is in the
    graph. Finding a brain, bringing images of other voxel sizes to it, the
    registration of ``places="template"``, intervals, novelty, warnings, and networks
    for subjects who lack sources are not.

    References
    ----------
    .. [1] H. V. Nguyen, K. Zhou and R. Vemulapalli, "Cross-domain synthesis of
       medical images using efficient location-sensitive deep network", MICCAI
       2015, LNCS 9349, 677-684. :doi:`10.1007/978-3-319-24553-9_83`

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_lsdn import LSDNRegressor, to_onnx
    >>> X = np.random.RandomState(0).uniform(size=(100, 4))
    >>> model = to_onnx(LSDNRegressor((5,), random_state=0).fit(X, X[:, 0]))
    >>> [column.name for column in (*model.graph.input, *model.graph.output)]
    ['X', 'y']

    ``onnx.save(model, "network.onnx")`` writes the file that a runtime reads:

    >>> import onnxruntime
    >>> session = onnxruntime.InferenceSession(model.SerializeToString())
    >>> session.run(["y"], {"X": X.astype(np.float32)})[0].shape
    (100, 1)
    """
    if role_of(estimator).takes_images:
        return write_images(estimator)
    network = fitted_network(estimator)
    graph = Graph()
    X = graph.input("X", np.float32, ["n_samples", network.n_features_in_])
    psi = answers(X, network.network_, network.n_features_in_)
    if is_classifier(network):
        classes = network.classes_
        p = probabilities(psi, len(classes))
        graph.output("label", labels(p, classes), ["n_samples"])
        graph.output("probabilities", p, ["n_samples", len(classes)])
    else:
        y = targets(psi, network.network_)
        graph.output("y", y, ["n_samples", network.n_outputs_])
    return graph.model(type(network).__name__)


def fitted_network(estimator):
    """The network to write."""
    network = role_of(estimator).network
    if network is None:
        raise TypeError(
            "to_onnx writes LSDNRegressor, LSDNClassifier, CDN and VDN of either kind, "
            "ShrinkConnect, VolumeSynthesizer and VolumeSegmenter, not "
            f"{type(estimator).__name__}. Of an estimator that holds one of them, give "
            "that, or see register_onnx_converters."
        )
    return network
