"""What is said of the package in several places is said once."""

import re
import subprocess
import tomllib

from conftest import REPOSITORY

from sklearn_lsdn import __version__

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
RECIPE = (REPOSITORY / "recipe" / "recipe.yaml").read_text()


def test_the_recipe_needs_what_the_package_does():
    run = RECIPE.partition("  run:\n")[2].partition("\n\n")[0]
    needed = [line.replace(" ", "") for line in re.findall(r"- (\w.*)", run)]
    assert needed[1:] == PROJECT["dependencies"]
    oldest = PROJECT["requires-python"].removeprefix(">=")
    assert f'python_min: "{oldest}"' in RECIPE


def test_the_recipe_builds_this_version():
    assert f'"SKLEARN_LSDN_VERSION", default="{__version__}"' in RECIPE
    (command,) = PROJECT["scripts"].items()
    assert f"- {' = '.join(command)}" in RECIPE


def test_classifiers_begin_at_the_oldest_python_and_leave_out_none():
    named = "Programming Language :: Python :: 3."
    minors = [int(c[len(named) :]) for c in PROJECT["classifiers"] if named in c]
    assert f">=3.{minors[0]}" == PROJECT["requires-python"]
    assert minors == list(range(minors[0], minors[-1] + 1))


def test_an_option_that_a_release_does_not_know_is_refused():
    release = [REPOSITORY / ".ci" / "release", "--everything"]
    done = subprocess.run(release, capture_output=True, text=True)
    assert done.returncode == 2
    assert "not --everything" in done.stderr
