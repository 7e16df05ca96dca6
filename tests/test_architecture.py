"""The house rule: imports point one way, foreign libraries stay in their files, files stay small.

The rule is read from the syntax tree, so imports inside functions and under ``TYPE_CHECKING`` count too.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "hamlearn"

# From the ground up; a file may import from its own room and from rooms below it.
ROOMS: tuple[tuple[str, ...], ...] = (
    (
        "errors",
        "memory",
        "arguments",
        "facts",
        "processes",
        "compiled",
        "folders",
        "extras",
        "progress",
        "interrupts",
        "storage",
        "checkpoint",
        "spaces",
        "data",
        "datasets",
        "statistics",
    ),
    ("systems",),
    ("models",),
    ("infer",),
    ("diagnostics",),
    ("plots",),
    ("page",),
    ("__init__", "__main__", "cli", "estimator", "verbs"),
)
LEVEL = {name: level for level, names in enumerate(ROOMS) for name in names}

# Where a foreign library may be imported: files, or whole folders (ending in a slash); nowhere else.
ALLOWED: dict[str, frozenset[str]] = {
    # Folders that ask for their extra when they are imported.
    "torch": frozenset({"infer/engines/neural/", "models/densities/"}),
    "pyro": frozenset({"infer/engines/neural/", "models/densities/"}),
    "jax": frozenset({"systems/", "models/", "infer/"}),
    "jaxlib": frozenset({"systems/", "models/", "infer/"}),
    # The last: finite-size scaling, whose unknowns are no parameters of a Hamiltonian.
    "numpyro": frozenset({"models/", "infer/engines/numpyro.py", "infer/engines/numpyro_model.py", "infer/engines/numpyro_scaling.py"}),
    "optax": frozenset({"infer/engines/jax_training.py", "infer/engines/rbm_training.py"}),
    "numba": frozenset({"compiled.py"}),  # where machine code is kept is decided in one place
    # The last: a support-vector machine, which is what was published.
    "sklearn": frozenset({"estimator.py", "diagnostics/audits/classifier.py", "diagnostics/phases/vectors.py"}),
    "arviz": frozenset({"diagnostics/arviz.py"}),
    "arviz_base": frozenset({"diagnostics/arviz.py"}),
    "arviz_plots": frozenset({"diagnostics/arviz.py"}),
    "arviz_stats": frozenset({"diagnostics/arviz.py"}),
}
NOT_ON_IMPORT = (
    "torch",
    "pyro",
    "jax",
    "jaxlib",
    "numpyro",
    "optax",
    "arviz",
    "arviz_base",
    "arviz_plots",
    "arviz_stats",
    "sklearn",
)
NOT_ON_IMPORT += ("matplotlib",)
MAX_LINES = 500


def violations(package: Path, name: str = "hamlearn") -> list[str]:
    """Every broken rule of imports in a package folder, one line each."""
    return [line for path in sorted(package.rglob("*.py")) for line in _violations_of(path, package, name)]


def long_files(package: Path, limit: int = MAX_LINES) -> list[str]:
    """Every file above `limit` lines."""
    sizes = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in sorted(package.rglob("*.py"))}
    return [f"{path.relative_to(package)}: {n} lines" for path, n in sizes.items() if n > limit]


def _violations_of(path: Path, package: Path, name: str) -> Iterator[str]:
    relative = path.relative_to(package)
    room = relative.parts[0].removesuffix(".py")
    if room not in LEVEL:
        yield f"{relative}: {room!r} is no room of the house; give it a place in ROOMS"
        return
    for line, module in _imports(path, package, name):
        top, _, rest = module.partition(".")
        if top == name:
            target = rest.split(".")[0] or "__init__"
            if not _exists(package, target):
                target = "__init__"  # a name that the front door defines
            if target not in LEVEL:
                yield f"{relative}:{line}: imports {module}, which is in no room of the house"
            elif LEVEL[target] > LEVEL[room]:
                yield f"{relative}:{line}: imports {module}, but {room} lies below {target}"
        elif top in ALLOWED and not _is_allowed(relative.as_posix(), ALLOWED[top]):
            yield f"{relative}:{line}: imports {module}; allowed only in {', '.join(sorted(ALLOWED[top]))}"


def _imports(path: Path, package: Path, name: str) -> Iterator[tuple[int, str]]:
    """Line and absolute name of every module that a file imports."""
    parents = [name, *path.relative_to(package).parts[:-1]]  # the package that a single leading dot means
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = parents[: len(parents) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                # `from hamlearn import x` imports a room or a name of the front door: keep x
                yield node.lineno, f"{module}.{alias.name}" if module == name else module
        elif (literal := _import_module_argument(node)) is not None:
            level = len(literal) - len(literal.lstrip("."))
            base = parents[: len(parents) - level + 1] if level else []
            yield node.lineno, ".".join([*base, *([literal[level:]] if literal[level:] else [])])


def _import_module_argument(node: ast.AST) -> str | None:
    """The literal in ``importlib.import_module("...")`` or ``__import__("...")``."""
    if not (isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant)):
        return None
    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)
    value = node.args[0].value
    return value if called in ("import_module", "__import__") and isinstance(value, str) else None


def _exists(package: Path, module: str) -> bool:
    return (package / f"{module}.py").is_file() or (package / module).is_dir()


def _is_allowed(relative: str, places: frozenset[str]) -> bool:
    return any(relative.startswith(place) if place.endswith("/") else relative == place for place in places)


def test_imports_point_one_way_and_foreign_libraries_stay_in_their_files():
    assert violations(PACKAGE) == []


def test_no_file_is_longer_than_one_concept():
    assert long_files(PACKAGE) == [], "look for the second concept hiding in it"


def test_import_hamlearn_is_light():
    code = f"import hamlearn, json, sys; print(json.dumps([m for m in {NOT_ON_IMPORT!r} if m in sys.modules]))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(result.stdout) == []


# The rule itself can fail: a house with planted faults, and one without.

SOUND = {
    "__init__.py": "import importlib\nlazy = lambda: importlib.import_module('hamlearn.infer')\n",
    "errors.py": "",
    "statistics.py": "import numpy\nfrom hamlearn.errors import HamlearnError\n",
    "systems/__init__.py": "from .ising import Ising\n",
    "systems/ising.py": "import jax\nfrom hamlearn import statistics\nfrom ..errors import HamlearnError\n",
    "models/__init__.py": "",
    "models/couplings.py": "import numpyro.distributions\nfrom ..systems.ising import Ising\n",
    "models/densities/made.py": "import torch\n",
    "infer/engines/numpyro.py": "import numpyro\nimport jax.numpy\n",
    "diagnostics/arviz.py": "import arviz_base\nfrom hamlearn.infer import engines\n",
    "cli.py": "from hamlearn import diagnostics\nimport hamlearn\n",
}
FAULTS = {
    "upwards": ("systems/ising.py", "from hamlearn.models import couplings", "systems lies below models"),
    "upwards from the ground": ("statistics.py", "import hamlearn.systems", "statistics lies below systems"),
    "relative": (
        "infer/engines/numpyro.py",
        "from ...diagnostics.arviz import x",
        "infer lies below diagnostics",
    ),
    "relative to the package": ("models/couplings.py", "from .. import infer", "models lies below infer"),
    "in a function": (
        "models/couplings.py",
        "def f():\n    import hamlearn.infer",
        "models lies below infer",
    ),
    "by name": (
        "errors.py",
        "import importlib\nimportlib.import_module('hamlearn.cli')",
        "errors lies below cli",
    ),
    "by relative name": (
        "models/couplings.py",
        "import importlib\nimportlib.import_module('..infer', __package__)",
        "models lies below infer",
    ),
    "the front door": ("systems/ising.py", "import hamlearn", "systems lies below __init__"),
    "a name of the front door": (
        "systems/ising.py",
        "from hamlearn import learn",
        "systems lies below __init__",
    ),
    "torch": ("infer/predictions/predict.py", "import torch.nn", "allowed only in infer/engines/neural/, models/densities/"),
    "pyro": ("infer/engines/numpyro.py", "from pyro import infer", "allowed only in infer/engines/neural/, models/densities/"),
    "jax": (
        "statistics.py",
        "def f():\n    from jax import numpy",
        "allowed only in infer/, models/, systems/",
    ),
    "numpyro": (
        "infer/predictions/predict.py",
        "import numpyro",
        "allowed only in infer/engines/numpyro.py, infer/engines/numpyro_model.py, infer/engines/numpyro_scaling.py, models/",
    ),
    "arviz": ("diagnostics/plots.py", "import arviz_stats", "allowed only in diagnostics/arviz.py"),
    "no room": ("utils.py", "", "'utils' is no room of the house"),
}


def plant(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / "hamlearn" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder / "hamlearn"


def test_a_sound_house_passes(tmp_path):
    assert violations(plant(tmp_path, SOUND)) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_reported_once_with_its_place(fault, tmp_path):
    file, code, message = FAULTS[fault]
    text = SOUND.get(file, "") + code + "\n"
    found = violations(plant(tmp_path, {**SOUND, file: text}))
    assert len(found) == 1, found
    assert found[0].startswith(file) and message in found[0]


def test_a_long_file_is_reported(tmp_path):
    package = plant(tmp_path, {"errors.py": "x = 1\n" * (MAX_LINES + 1), "cli.py": "x = 1\n" * MAX_LINES})
    assert long_files(package) == [f"errors.py: {MAX_LINES + 1} lines"]


def test_what_is_told_is_told_by_one_voice():
    """Lines at level INFO reach a screen where nobody has configured logging only by ``progress.logger``."""
    silent = [
        path.name
        for path in PACKAGE.rglob("*.py")
        if path.name != "progress.py" and "getLogger(" in (text := path.read_text(encoding="utf-8")) and "logger.info(" in text
    ]
    assert not silent
