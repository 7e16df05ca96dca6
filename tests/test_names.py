"""Names of the package that pages and scripts use exist: a renamed function is not left behind where no test runs the line."""

import ast
import importlib
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

import hamlearn as hl

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted(path for folder in ("benchmarks", "examples") for path in (ROOT / folder).rglob("*.py"))
PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]


def missing(name: str) -> str | None:
    """What of ``hl.a.b`` does not exist."""
    found: object = hl
    for part in name.split(".")[1:]:
        if not hasattr(found, part):
            return f"{name}: no {part}"
        found = getattr(found, part)
    return None


def unknown(tree: ast.AST, names: dict[str, object]) -> list[str]:
    """Attributes of modules of the package that a script asks for, and that are not there."""
    found = []
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)):
            continue
        module = names.get(node.value.id)
        if isinstance(module, ModuleType) and module.__name__.split(".")[0] == "hamlearn" and not hasattr(module, node.attr):
            found.append(f"line {node.lineno}: {node.value.id}.{node.attr}")
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_page_names_what_exists(page):
    text = re.sub(r"`hl\.[\w.]+` →", "", page.read_text(encoding="utf-8"))  # what was renamed is told by its old name
    names = sorted(set(re.findall(r"\bhl(?:\.[A-Za-z_]\w*)+", text)))
    assert not [problem for name in names if (problem := missing(name))]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_script_names_what_exists(script):
    tree = ast.parse(script.read_text(encoding="utf-8"))
    names: dict[str, object] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "hamlearn":
                    names[alias.asname or "hamlearn"] = importlib.import_module(alias.name if alias.asname else "hamlearn")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "hamlearn":
            module = importlib.import_module(node.module or "")
            for alias in node.names:
                if not hasattr(module, alias.name):
                    importlib.import_module(f"{node.module}.{alias.name}")
                names[alias.asname or alias.name] = getattr(module, alias.name)
    chains = re.findall(r"\bhl(?:\.[A-Za-z_]\w*)+", script.read_text(encoding="utf-8")) if names.get("hl") is hl else []
    assert not [problem for name in sorted(set(chains)) if (problem := missing(name))] + unknown(tree, names)


def test_the_page_of_benchmarks_names_every_script_and_shows_every_table():
    folder, page = ROOT / "benchmarks", (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    run = [path for path in SCRIPTS if folder in path.parents and "if __name__ ==" in path.read_text(encoding="utf-8")]
    names = [path.relative_to(folder).as_posix() for path in run if path.parent.name != "robustness"]  # started as a folder
    assert not [name for name in names if f"`{name}" not in page]
    shown = {(one.parent / name).resolve() for one in PAGES for name in re.findall(r"{include} (\S+)", one.read_text(encoding="utf-8"))}
    assert all(path.is_file() for path in shown)
    assert set(folder.rglob("results/*.md")) <= shown


def test_a_planted_name_is_found():
    assert missing("hl.no_such_verb") and not missing("hl.infer.NUTS")
    assert unknown(ast.parse("infer.no_such_verb(1)"), {"infer": sys.modules["hamlearn.infer"]}) == ["line 1: infer.no_such_verb"]
