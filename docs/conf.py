"""How Sphinx builds these pages: `python -m sphinx -W docs docs/_build/html`."""

import os
import re

import matplotlib
from docutils.nodes import SkipNode
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx_gallery.sorting import ExplicitOrder

import sklearn_lsdn

matplotlib.use("Agg")
os.environ["DASK_DISTRIBUTED__LOGGING__DISTRIBUTED"] = "warning"

project = "sklearn_lsdn"
author = "The sklearn_lsdn developers"
copyright = author
version = release = sklearn_lsdn.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.doctest",
    "sphinx.ext.extlinks",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
default_role = "py:obj"
exclude_patterns = ["_build", "_templates"]
templates_path = ["_templates"]
smartquotes_action = "q"  # quotes alone: --help is no dash
suppress_warnings = ["config.cache"]  # the gallery's order is an object

myst_enable_extensions = ["deflist", "dollarmath"]
myst_heading_anchors = 3
extlinks = {"doi": ("https://doi.org/%s", "doi:%s")}

# Classes have a page each; methods are described on it.
autosummary_generate = True
autodoc_typehints = "none"  # docstrings say them in words
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

# Links into other projects' pages need the network, and so must be asked for.
if os.environ.get("LSDN_DOCS_LINKS"):
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "joblib": ("https://joblib.readthedocs.io/en/stable/", None),
        "numpy": ("https://numpy.org/doc/stable/", None),
        "python": ("https://docs.python.org/3/", None),
        "sklearn": ("https://scikit-learn.org/stable/", None),
    }

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("sklearn_lsdn",),
    "within_subsection_order": ExplicitOrder(
        [
            "plot_real_scans.py",
            "plot_masks_and_places.py",
            "plot_several_contrasts.py",
            "plot_uncertainty_and_novelty.py",
            "plot_classifier.py",
            "plot_methods_side_by_side.py",
            "plot_joint_histograms.py",
            "plot_training_error.py",
            "plot_nested_cross_validation.py",
            "plot_shrinking.py",
            "plot_onnx_without_this_package.py",
            "plot_dask_cluster.py",
            "*",
        ]
    ),
    "download_all_examples": False,
    "show_signature": False,
    "remove_config_comments": True,
    "write_computation_times": False,
}

# A copy is what is to be typed: no prompt, no output.
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_math_renderer = "mathml"  # no script from elsewhere, nor a request for one
html_theme = "furo"
html_title = f"sklearn_lsdn {release}"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_logo = html_favicon = "_static/logo.svg"
html_copy_source = False
html_show_sourcelink = False


def link_to_the_gallery(app, name, source):
    """Pages link to the examples' code, which is there without a build, too."""
    source[0] = re.sub(
        r"\(\.\./examples(?:/(\w+)\.py)?\)",
        lambda link: f"(auto_examples/{link[1] or 'index'}.rst)",
        source[0],
    )


def skip_what_is_inherited(app, what, name, thing, skip, options):
    """Leave out methods of scikit-learn, whose docstrings link into its own pages."""
    home = getattr(thing, "__module__", None) or ""
    return True if home.split(".")[0] == "sklearn" else None


def write_formula(page, node):
    page.body.append(tex2mathml(node.astext()))
    raise SkipNode


def write_display(page, node):
    mathml = tex2mathml(node.astext(), as_block=True)
    page.body.append(f'<div class="formula">{mathml}</div>')
    raise SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", (write_formula, None), (write_display, None))
    app.connect("source-read", link_to_the_gallery)
    app.connect("autodoc-skip-member", skip_what_is_inherited)
