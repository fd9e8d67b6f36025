"""scikit-learn's trees, whose compiled code follows what their nodes say.

skops trusts none of them, since a crafted file can name any place in the memory. Here
they are checked node by node: an index is within its array, and each node but the root
is the child of one that comes before it, so that every way ends in a leaf.
"""

import itertools
from numbers import Integral

import numpy as np

from .._utils.checks import ensure
from .._utils.sklearn_private import boosted_trees, first_predictions, tree_class

TREE = "sklearn.tree._tree.Tree"
TRUSTED = (
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    f"{__name__}.checked_tree",
)


def to_be_checked(node):
    """Have what a file says of a `Tree` read by `checked_tree`.

    Parameters
    ----------
    node : dict
        Of skops' schema; changed in place.
    """
    held = {"__class__": "tuple", "__module__": "builtins", "__loader__": "TupleNode"}
    held["content"] = node.pop("__reduce__")["args"], node["content"]
    module, _, function = TRUSTED[1].rpartition(".")
    node |= {"__class__": function, "__module__": module, "content": held}
    node["__loader__"] = "ConstructorFromReduceNode"


def checked_tree(arguments, state):
    """Make a `Tree` of what was read, which its constructor would not check.

    Parameters
    ----------
    arguments : tuple
        Number of features, numbers of classes and number of outputs.
    state : dict
        "nodes", "values", "node_count" and "max_depth".
    """
    n_features, n_classes, n_outputs = arguments
    nodes, values = state["nodes"], state["values"]
    counts = n_features, n_outputs, state["node_count"], state["max_depth"]
    ensure(
        all(isinstance(n, Integral) for n in counts)
        and min(counts[:3]) > 0
        and isinstance(n_classes, np.ndarray)
        and n_classes.shape == (n_outputs,)
        and n_classes.dtype.kind == "i"
        and (n_classes > 0).all(),
        "a tree has no sizes",
    )
    ensure(
        nodes.shape == (state["node_count"],)
        and values.shape == (len(nodes), n_outputs, n_classes.max())
        and values.dtype.kind == "f"
        and np.isfinite(values).all(),
        "a tree's values are not those of its nodes",
    )
    left, right = nodes["left_child"], nodes["right_child"]
    inner = left != -1
    ensure((right[~inner] == -1).all(), "a tree's leaf has a child")
    depth = _depth(left, right, inner)
    ensure(depth <= state["max_depth"] < len(nodes), "a tree is of another depth")
    features, thresholds = nodes["feature"][inner], nodes["threshold"][inner]
    ensure(
        (features >= 0).all()
        and (features < n_features).all()
        and not np.isnan(thresholds).any()
        and (nodes["n_node_samples"] > 0).all()
        and (nodes["weighted_n_node_samples"] >= 0).all(),
        "a tree asks for features that are not there",
    )
    tree = tree_class()(n_features, n_classes, n_outputs)
    tree.__setstate__(state)
    return tree


def _depth(left, right, inner):
    """Depth of a tree, each of whose nodes is the child of one before it."""
    parents = np.tile(np.flatnonzero(inner), 2)
    children = np.concatenate([left[inner], right[inner]])
    ensure(
        np.array_equal(np.sort(children), np.arange(1, len(left)))
        and (children > parents).all(),
        "a tree's children are not among its nodes",
    )
    depth, level = 0, np.zeros(1, dtype=np.intp)
    while (level := level[inner[level]]).size:
        level, depth = np.concatenate([left[level], right[level]]), depth + 1
    return depth


def check_trees(estimator):
    """Raise an error unless trees suit the estimator that holds them.

    Parameters
    ----------
    estimator : object
        What it holds was checked before it.
    """
    for kind in type(estimator).__mro__:
        check = _CHECKS.get(kind.__name__)
        if check is not None:
            check(estimator)


def _check_decision_tree(estimator):
    if "tree_" not in vars(estimator):
        return
    tree = estimator.tree_
    ensure(type(tree) is tree_class(), "a decision tree has no nodes")
    ensure(
        tree.n_features == estimator.n_features_in_
        and tree.n_outputs == estimator.n_outputs_,
        "a tree and its estimator differ in size",
    )


def _check_members(model, n_outputs):
    sizes = model.n_features_in_, n_outputs
    trees = np.ravel(model.estimators_)
    ensure(len(trees) > 0, "there are no trees")
    for tree in (each.tree_ for each in trees):
        ensure(
            type(tree) is tree_class() and (tree.n_features, tree.n_outputs) == sizes,
            "a tree and its estimator differ in size",
        )


def _check_forest(model):
    if "estimators_" in vars(model):
        _check_members(model, model.n_outputs_)


def _check_gradient_boosting(model):
    if "estimators_" not in vars(model):
        return
    _check_members(model, 1)
    trees, n_features = model.estimators_, model.n_features_in_
    ensure(trees.ndim == 2, "trees have nowhere to begin")
    # Each stage adds to a column of it, without a look at how many there are.
    start = first_predictions(model, np.zeros((2, n_features), dtype=np.float32))
    ensure(start.shape == (2, trees.shape[1]), "trees have nowhere to begin")


def _check_hist_gradient_boosting(model):
    found = boosted_trees(model)
    if found is None:
        return
    trees, bins, columns_change = found
    n_features = model.n_features_in_
    is_categorical = bins.is_categorical_ != 0
    ensure(is_categorical.shape == (n_features,), "features are not counted")
    for categories in itertools.compress(bins.bin_thresholds_, is_categorical):
        ensure(
            ((categories >= 0) & (categories < 256)).all(), "a category has no number"
        )
    for tree in trees:
        nodes, bitsets = tree.nodes, tree.raw_left_cat_bitsets
        ensure(len(nodes) > 0, "a tree has no nodes")
        inner = nodes["is_leaf"] == 0
        _depth(nodes["left"], nodes["right"], inner)
        features = nodes["feature_idx"]
        ensure(
            (features[inner] >= 0).all() and (features[inner] < n_features).all(),
            "a tree asks for features that are not there",
        )
        by_category = inner & (nodes["is_categorical"] != 0)
        ensure(
            is_categorical[features[by_category]].all()
            and bitsets.shape[1:] == (8,)
            and (nodes["bitset_idx"][by_category] < len(bitsets)).all(),
            "a tree asks for categories that are not there",
        )
    if not columns_change and "feature_names_in_" not in vars(model):
        model.predict(np.zeros((1, n_features)))


_CHECKS = {
    "BaseDecisionTree": _check_decision_tree,
    "BaseForest": _check_forest,
    "BaseGradientBoosting": _check_gradient_boosting,
    "BaseHistGradientBoosting": _check_hist_gradient_boosting,
}
