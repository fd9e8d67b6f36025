"""Where an estimator's page in the documentation is."""

from functools import cache
from importlib.metadata import PackageNotFoundError, metadata


@cache
def documentation_url() -> str:
    """Address of the documentation in the package's metadata, or ""."""
    try:
        urls = metadata("sklearn_lsdn").get_all("Project-URL") or []
    except PackageNotFoundError:  # a checkout that is not installed
        urls = []
    known = dict(url.split(", ", 1) for url in urls)
    return known.get("Documentation", "").rstrip("/")


class DocumentedMixin:
    """Lets the diagrams of scikit-learn link to the page of an estimator."""

    def _get_doc_link(self):
        package, *path = type(self).__module__.split(".")
        url = documentation_url()
        if package != "sklearn_lsdn" or not url:  # a class of somebody else's
            return ""
        home = "sklearn_lsdn.volumes." if "normalization" in path else "sklearn_lsdn."
        return f"{url}/generated/{home}{type(self).__name__}.html"
