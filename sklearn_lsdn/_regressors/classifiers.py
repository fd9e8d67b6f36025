"""LSDNClassifier, and the networks beside it: CDN and VDN."""

from .._utils.persistable import persistable
from .network_classifier import DOCUMENTED, NetworkClassifier
from .network_estimator import NoPlaces, PlacesAsFeatures, ProductLayer, documented

_NO_PLACES = " Empty: this network has none."


@persistable("sklearn_lsdn")
@documented(**DOCUMENTED)
class LSDNClassifier(ProductLayer, NetworkClassifier):
    """Location-sensitive deep network whose outputs are probabilities of classes.

    The network of :class:`LSDNRegressor`: each node of its first hidden layer responds
    to the features and is switched on only near a latent coordinate, which is learned.
    It tells what is there from features observed at locations, such as lesions from
    image patches.
    {parameters}

    See Also
    --------
    CDNClassifier : Coordinates concatenated to the features.
    VDNClassifier : No coordinates.
    LSDNRegressor : The same network, for numbers.

    Notes
    -----
    The outputs are logistic and read as probabilities. Of two classes, one output is
    that of the second, and training minimises

    .. math::
        -t \\log \\psi - (1 - t) \\log (1 - \\psi),

    t being 1 for the second class and 0 for the first. Its gradient at the output is
    :math:`\\psi - t`, without the factor :math:`\\psi (1 - \\psi)` of equation 6 of
    [1]_, so that an output which is wrong and sure learns as well. Of more classes,
    each has such an output against all others, and the probabilities are these outputs
    divided by their sum. Output biases start at the log odds of each class's share of
    the weight.

    Early stopping watches this loss, which rare classes move sooner than accuracy.

    The same ``random_state`` gives the same network, bit for bit.

    References
    ----------
    .. [1] H. V. Nguyen, K. Zhou and R. Vemulapalli, "Cross-domain synthesis of
       medical images using efficient location-sensitive deep network", MICCAI
       2015, LNCS 9349, 677-684. :doi:`10.1007/978-3-319-24553-9_83`

    Examples
    --------
    One feature whose meaning depends on where it is measured:

    >>> import numpy as np
    >>> from sklearn_lsdn import LSDNClassifier
    >>> rng = np.random.RandomState(0)
    >>> feature, x = rng.uniform(-1, 1, (2, 2000))
    >>> y = np.where(feature * x > 0, "lesion", "tissue")
    >>> model = LSDNClassifier((30, 10), coordinates=1, random_state=0)
    >>> model = model.fit(np.column_stack([feature, x]), y)
    >>> model.score(np.column_stack([feature, x]), y) > 0.9
    True
    >>> model.classes_
    array(['lesion', 'tissue'], dtype='<U6')
    >>> model.predict_proba([[0.9, 0.9]])[0, 0] > 0.9
    np.True_
    """


@persistable("sklearn_lsdn")
@documented(_NO_PLACES, **DOCUMENTED)
class CDNClassifier(PlacesAsFeatures, NetworkClassifier):
    """Concatenation deep network: coordinates are features like any other.

    A plain network with logistic nodes, which gets the coordinates beside the
    features, and whose outputs are probabilities of classes.
    {parameters}

    See Also
    --------
    LSDNClassifier : Multiplies features and locations.
    VDNClassifier : No coordinates.

    Notes
    -----
    Outputs and loss are those of :class:`LSDNClassifier`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_lsdn import CDNClassifier
    >>> X = np.random.RandomState(0).uniform(-1, 1, (2000, 4))
    >>> model = CDNClassifier((30, 10), random_state=0).fit(X, X[:, 0] * X[:, 3] > 0)
    >>> model.score(X, X[:, 0] * X[:, 3] > 0) > 0.9
    True
    """


@persistable("sklearn_lsdn")
@documented(_NO_PLACES, **DOCUMENTED)
class VDNClassifier(NoPlaces, NetworkClassifier):
    """Vanilla deep network: coordinate columns are left out.

    A plain network with logistic nodes, which sees the features alone, and whose
    outputs are probabilities of classes. It takes the same ``X`` as the other two.
    {parameters}

    See Also
    --------
    LSDNClassifier : Multiplies features and locations.
    CDNClassifier : Coordinates concatenated to the features.

    Notes
    -----
    Outputs and loss are those of :class:`LSDNClassifier`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_lsdn import VDNClassifier
    >>> X = np.random.RandomState(0).uniform(-1, 1, (2000, 4))
    >>> y = abs(X[:, 0]) > 0.5
    >>> VDNClassifier((30, 10), random_state=0).fit(X, y).score(X, y) > 0.9
    True
    """
