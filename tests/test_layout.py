"""The promises about the project itself: imports stay light, recipes load, the README's commands exist."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from pareto.recipe_file import read_recipe

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "transformers", "trl", "peft", "sklearn", "pymoo", "matplotlib", "plotly")
CALL_MAIN = "import sys\nfrom pareto.cli import main\nsys.argv[0] = 'pareto'\nmain()\n"


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def heavy_after(code: str, *arguments: str) -> list[str]:
    """Names of the heavy packages that a fresh interpreter has loaded after ``code``, however it ended."""
    report = (
        f"import atexit, json, sys\n"
        f"atexit.register(lambda: print(json.dumps([m for m in {HEAVY} if m in sys.modules]), file=sys.stderr))\n"
    )
    done = run(report + code, *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stderr.splitlines()[-1])


@pytest.mark.parametrize("module", ["records", "config", "store", "front", "frontier"])
def test_reading_a_run_imports_nothing_heavy(module: str) -> None:
    code = (
        f"import importlib, pkgutil\n"
        f"module = importlib.import_module('pareto.{module}')\n"
        f"for m in pkgutil.walk_packages(getattr(module, '__path__', []), module.__name__ + '.'):\n"
        f"    importlib.import_module(m.name)\n"
    )
    assert heavy_after(code) == []


def test_help_imports_nothing_heavy() -> None:
    assert heavy_after(CALL_MAIN, "--help") == []


def test_help_answers_in_half_a_second() -> None:
    seconds = []
    for _ in range(5):  # CPU time, and the best of five: other processes share the machine
        before = os.times()
        done = run(CALL_MAIN, "--help")
        after = os.times()
        assert done.returncode == 0, done.stderr
        seconds.append(after.children_user + after.children_system - before.children_user - before.children_system)
    assert min(seconds) < 0.5


def imported(path: Path) -> set[str]:
    """Top-level names that a source file imports, wherever in the file."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.partition(".")[0])
    return names


def test_every_imported_package_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = [
        *project["dependencies"],
        *(r for extra in project["optional-dependencies"].values() for r in extra),
    ]
    declared = {normal(re.split(r"[\[<>=!~; ]", requirement)[0]) for requirement in requirements}
    ours = {"pareto", "app", "__future__"} | sys.stdlib_module_names
    used = {name for path in (ROOT / "pareto").rglob("*.py") for name in imported(path)} - ours
    distributions = packages_distributions()
    undeclared = {n for n in used if not declared & {normal(d) for d in distributions.get(n, [n])}}
    assert undeclared == set()


def test_every_requirement_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = {k: v for k, v in project["optional-dependencies"].items() if k != "app"}
    requirements = [*project["dependencies"], *(r for extra in extras.values() for r in extra)]
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").split()
    pinned = {normal(pin.partition("==")[0]) for pin in pins}
    assert {normal(re.split(r"[\[<>=!~; ]", r)[0]) for r in requirements} <= pinned
    assert [pin for pin in pins if "+" in pin or "@" in pin or "==" not in pin] == []


def normal(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


@pytest.mark.parametrize("path", sorted((ROOT / "sweeps").glob("*.yaml")), ids=lambda path: path.name)
def test_a_recipe_loads_and_opens_with_its_command(path: Path) -> None:
    recipe = read_recipe(path)
    opening = path.read_text(encoding="utf-8").splitlines()[0]
    assert recipe.name == path.stem
    assert re.match(rf"#.*\bpareto (sweep|bench)\b.* sweeps/{re.escape(path.name)}\b", opening)


def commands(markdown: str) -> list[list[str]]:
    """Arguments of every ``pareto`` command in the fenced bash blocks of a page."""
    found = []
    for block in re.findall(r"^```bash\n(.*?)^```", markdown, flags=re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.shlex(line, posix=True, punctuation_chars=True)
            words.whitespace_split = True
            found += [part[1:] for part in split(list(words)) if part and part[0].endswith("pareto")]
    return found


def split(words: Sequence[str]) -> list[list[str]]:
    """A shell line cut at its operators (``&&``, ``|``, ``>`` …)."""
    parts: list[list[str]] = [[]]
    for word in words:
        if set(word) <= set("&|;<>()"):
            parts.append([])
        else:
            parts[-1].append(word)
    return parts


def test_commands_are_found_in_fenced_blocks_only() -> None:
    block = "```bash\nmake demo\n.venv/bin/pareto a --b c \\\n  d | less  # pareto no\n```\n"
    page = f"pareto no\n{block}```\npareto no\n```\n"
    assert commands(page) == [["a", "--b", "c", "d"]]


HELP_OF_ALL = """
import contextlib, io, json, sys
from pareto.cli import main

refused = {}
for words in json.load(sys.stdin):
    sys.argv = ["pareto", *words, "--help"]
    heard = io.StringIO()
    try:
        with contextlib.redirect_stdout(heard), contextlib.redirect_stderr(heard):
            main()
        code = 0
    except SystemExit as e:
        code = e.code
    if code not in (0, None):
        refused[" ".join(words)] = heard.getvalue()
print(json.dumps(refused))
"""


def test_the_readmes_commands_parse() -> None:
    # With --help at its end a command's names and options are parsed and nothing is run.
    found = [*commands((ROOT / "README.md").read_text(encoding="utf-8")), ["sweep", "--no-such-option"]]
    told = subprocess.run(
        [sys.executable, "-c", HELP_OF_ALL],
        input=json.dumps(found),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(json.loads(told.stdout)) == {"sweep --no-such-option"}
