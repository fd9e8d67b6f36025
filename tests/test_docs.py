"""The documentation: its commands parse, its first code runs, its lists are whole."""

import inspect
import re
import shlex

import pytest
from conftest import REPOSITORY
from sklearn.neural_network import MLPRegressor

import sklearn_lsdn
from sklearn_lsdn import LSDNRegressor, datasets, display, report, volumes
from sklearn_lsdn._commands.main import _parser

DOCS = REPOSITORY / "docs"
PAGES = {path.name: path.read_text(encoding="utf-8") for path in DOCS.glob("*.md")}


MARKDOWN = sorted([*REPOSITORY.glob("*.md"), *DOCS.glob("*.md")])
BUILT = (DOCS / "auto_examples", DOCS / "generated", DOCS / "_build")


def _prose(path):
    text = path.read_text(encoding="utf-8")
    return re.sub(r"^```.*?^```$", "", text, flags=re.S | re.M)


def _anchors(path):
    """What a forge calls a page's headings, and MyST by `myst_heading_anchors`."""
    headings = re.findall(r"^#{1,3} (.+)$", _prose(path), re.M)
    return {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings}


def _command_lines():
    for name, text in sorted(PAGES.items()):
        whole = re.sub(r" \\\n +", " ", text)  # where a command goes on
        for line in re.findall(r"^    lsdn (.+)$", whole, re.MULTILINE):
            yield pytest.param(line, id=f"{name}: {line[:40]}")


@pytest.mark.parametrize("line", list(_command_lines()))
def test_command_lines_parse(line):
    assert _parser().parse_args(shlex.split(line)).command == line.split()[0]


@pytest.mark.parametrize("path", MARKDOWN, ids=lambda path: path.name)
def test_links_lead_somewhere_without_a_build(path):
    for link in re.findall(r"\]\(\s*([^)\s]+)", _prose(path)):
        if not re.match(r"[a-z]+:", link):
            name, _, anchor = link.partition("#")
            target = (path.parent / name).resolve() if name else path
            assert target.exists(), link
            assert not any(target.is_relative_to(folder) for folder in BUILT), link
            assert not anchor or anchor in _anchors(target), link
    assert not re.search(r"\{\w+\}`", _prose(path))


def test_the_first_synthesis(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    pytest.importorskip("nilearn")
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"^```python\n(.*?)^```$", PAGES["quickstart.md"], re.S | re.M)
    namespace = {}
    exec(code.replace("voxel_size=3", "voxel_size=8"), namespace)
    assert namespace["synthesis"].shape == namespace["t1w"][-1].shape
    assert (tmp_path / "synthesis.png").is_file()


def test_all_pages_are_in_the_structure():
    trees = re.findall(r"^```{toctree}\n(.*?)^```$", PAGES["index.md"], re.S | re.M)
    entries = {line for tree in trees for line in tree.split()}
    pages = {name.removesuffix(".md") for name in PAGES} - {"index"}
    assert pages <= entries


def test_the_api_reference_lists_all_public_names():
    text = (DOCS / "api.rst").read_text(encoding="utf-8")
    listed = set(re.findall(r"^(?:   |\.\. data:: )(\w+)$", text, re.MULTILINE))
    for module in (sklearn_lsdn, datasets, display, report, volumes):
        assert set(module.__all__) <= listed


@pytest.mark.parametrize("name", sklearn_lsdn.__all__)
def test_attributes_are_not_described_by_what_computes_them(name):
    thing = getattr(sklearn_lsdn, name)
    views = [v for v in vars(thing).values() if isinstance(v, property)]
    assert not any("attrgetter" in (view.__doc__ or "") for view in views)


def test_the_first_lines_of_the_migration_page_run():
    code, *_ = re.findall(r"^```python\n(.*?)^```$", PAGES["migration.md"], re.S | re.M)
    for line in code.splitlines():
        if line.startswith(("MLP", "VDN", "LSDN")):
            names = dict(MLPRegressor=MLPRegressor, LSDNRegressor=LSDNRegressor)
            estimator = eval(line, names | dict(VDNRegressor=sklearn_lsdn.VDNRegressor))
            assert estimator._validate_params() is None


@pytest.mark.parametrize("estimator", [MLPRegressor, LSDNRegressor])
def test_the_migration_page_has_every_parameter(estimator):
    _, _, table = PAGES["migration.md"].partition("## Parameter by parameter")
    rows = re.findall(r"^\| (.*?) \| (.*?) \|", table.partition("## ")[0], re.M)
    # As `name=default`, on its own side of the table or, if alike, on the other.
    ours = estimator is LSDNRegressor
    for name, parameter in inspect.signature(estimator).parameters.items():
        (row,) = (r for r in rows if re.search(rf"`{name}[=`]", r[0] + r[1]))
        default = re.search(rf"`{name}=(.*?)`", row[0] + row[1])
        shown = default and default[1]
        if ours and row[1] != "the same" and not row[1].startswith(f"`{name}"):
            shown = row[1].strip("`")
        if shown:
            assert eval(shown, {"__builtins__": {}}) == parameter.default
