"""How the parts of the package join, counted at any revision: lines, dispatch by class and by name, long functions, import circles.

    python benchmarks/house.py 71e2b1c HEAD       (a table, one column a revision; needs git)

Counted on the syntax tree of ``hamlearn/``, docstrings and comments apart: calls of ``isinstance``;
comparisons (``==``, ``!=``, ``in``, ``not in``) with a text or with a tuple, list or set of texts; calls of
``getattr`` and ``hasattr``; annotations that are ``Any``; functions of more than 60 lines without their
docstring; circles of modules that import each other at the top. Indicators, not quotas: what counts is which
files a new thing touches.
"""

from __future__ import annotations

import argparse
import ast
import io
import subprocess
import tarfile
from collections import Counter

LONG = 60


def sources(revision: str) -> dict[str, str]:
    """Text of every module of the package at a revision, by path."""
    archive = subprocess.run(["git", "archive", revision, "hamlearn"], check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        found = {one.name: files.extractfile(one) for one in files.getmembers() if one.name.endswith(".py")}
        return {name: file.read().decode() for name, file in found.items() if file is not None}


def _texts(node: ast.AST) -> bool:
    """Whether a node is a text, or a collection of texts written out."""
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str)
    return isinstance(node, ast.Tuple | ast.List | ast.Set) and bool(node.elts) and all(_texts(one) for one in node.elts)


def _length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function, its docstring apart."""
    first, lines = node.body[0], (node.end_lineno or node.lineno) - node.lineno + 1
    if ast.get_docstring(node) is not None:
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def counted(text: str) -> Counter[str]:
    """What one module holds."""
    found: Counter[str] = Counter({"lines": text.count("\n"), "files": 1, "type: ignore": text.count("type: ignore")})
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("isinstance", "getattr", "hasattr"):
            found["isinstance" if node.func.id == "isinstance" else "getattr, hasattr"] += 1
        elif isinstance(node, ast.Compare) and any(_texts(one) for one in (node.left, *node.comparators)):
            found["comparisons with a text"] += 1
        elif isinstance(node, ast.arg | ast.AnnAssign) and isinstance(node.annotation, ast.Name) and node.annotation.id == "Any":
            found["annotated Any"] += 1
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _length(node) > LONG:
            found[f"functions of more than {LONG} lines"] += 1
    return found


def circles(modules: dict[str, str]) -> int:
    """Groups of modules that import each other at the top (strongly connected parts of more than one module)."""
    import networkx

    named = {path.removesuffix(".py").removesuffix("/__init__").replace("/", "."): text for path, text in modules.items()}
    graph = networkx.DiGraph()
    for name, text in named.items():
        for node in ast.parse(text).body:
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("hamlearn"):
                targets = [f"{node.module}.{one.name}" if f"{node.module}.{one.name}" in named else node.module for one in node.names]
            elif isinstance(node, ast.Import):
                targets = [one.name for one in node.names]
            else:
                continue
            graph.add_edges_from((name, target) for target in targets if target in named and target != name)
    return sum(len(part) > 1 for part in networkx.strongly_connected_components(graph))


def folder(path: str) -> str:
    """``systems``, ``infer`` … of a module."""
    parts = path.split("/")
    return parts[1] if len(parts) > 2 else "(top)"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revisions", nargs="*", default=["HEAD"])
    revisions = parser.parse_args().revisions
    totals, by_folder = [], []
    for revision in revisions:
        modules, folders = sources(revision), {}
        for path, text in modules.items():
            folders.setdefault(folder(path), Counter()).update(counted(text))
        total = sum(folders.values(), Counter())
        total["import circles"] = circles(modules)
        totals.append(total)
        by_folder.append(folders)
    head = "| | " + " | ".join(revisions) + " |\n|---|" + "---:|" * len(revisions)
    print(head)
    for row in dict.fromkeys(name for total in totals for name in total):
        print(f"| {row} | " + " | ".join(str(total[row]) for total in totals) + " |")
    print("\nisinstance + comparisons with a text, by folder\n\n" + head)
    for name in sorted({name for folders in by_folder for name in folders}):
        cells = [folders.get(name, Counter()) for folders in by_folder]
        print(f"| {name} | " + " | ".join(f"{one['isinstance']} + {one['comparisons with a text']}" for one in cells) + " |")


if __name__ == "__main__":
    main()
