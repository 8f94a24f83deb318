"""The tree is a promise that these tests keep: layers, sizes, names, documentation, and a start without torch."""

import ast
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "scenograph"
MODULES = sorted(SOURCE.rglob("*.py"))

# Imports point up this list only.
LAYERS = (
    "errors files layout drawing world models judging unified planning grounding painting datasets training recipes "
    "executor loop studio cli"
).split()
# Whoever only reads, draws or asks for help must not wait for these.
HEAVY = {"torch", "diffusers", "transformers", "peft", "accelerate", "torchmetrics", "matplotlib", "scipy"}
LIGHT_LAYERS = {"__init__", "errors", "files", "layout", "drawing", "world", "cli"}
BANNED_NAMES = {"util", "utils", "helper", "helpers", "misc", "common", "core", "manager"}
LINES_PER_MODULE = 400
LINES_PER_FUNCTION = 60
MEDIAN_FUNCTION = 14
# "module:function" → why it may be longer than LINES_PER_FUNCTION.
LONG_FUNCTIONS: dict[str, str] = {}


def name_of(path: Path) -> str:
    return path.relative_to(SOURCE).with_suffix("").as_posix()


def layer_of(path: Path) -> str:
    """The first part of the path below the package; "__init__" is the package itself."""
    return path.relative_to(SOURCE).with_suffix("").parts[0]


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imported(path: Path, tree: ast.AST) -> Iterator[str]:
    """Dotted names of everything that `tree` imports, under TYPE_CHECKING and in functions too."""
    package = ("scenograph", *path.relative_to(SOURCE).parent.parts)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            yield from (f"{module}.{alias.name}" for alias in node.names)


def top_level(tree: ast.Module) -> ast.Module:
    """`tree` without the bodies of its functions: what runs when the module is imported."""

    class Hollow(ast.NodeTransformer):
        def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
            return None

        def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
            return None

        def visit_If(self, node: ast.If) -> ast.AST | None:
            typing_only = "TYPE_CHECKING" in ast.unparse(node.test)
            return None if typing_only else self.generic_visit(node)

    hollow: ast.Module = Hollow().visit(tree)
    return hollow


def functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """(dotted name, node) of every function and method, nested ones included."""
    for node in ast.iter_child_nodes(tree):
        named = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        inner = f"{prefix}{node.name}." if named else prefix  # type: ignore[attr-defined]
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield inner[:-1], node
        yield from functions(node, inner)


def length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def public(body: list[ast.stmt]) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    """Public classes, functions and methods, overloads aside; a method that overrides one of ours is still public."""
    for node in body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        decorators = {ast.unparse(decorator).split(".")[-1] for decorator in node.decorator_list}
        if not decorators & {"overload", "setter", "override"}:
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body)


def registered(node: ast.FunctionDef | ast.ClassDef) -> bool:
    """Whether `node` is a command or a group of the command line, which its decorator hands over: nobody imports it."""
    decorators = map(ast.unparse, node.decorator_list)
    return any("command(" in decorator or "group(" in decorator for decorator in decorators)


def declared_all(tree: ast.Module) -> list[str] | None:
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            names: list[str] = ast.literal_eval(node.value)
            return names
    return None


def test_every_module_has_a_layer() -> None:
    assert {layer_of(path) for path in MODULES} - {"__init__", "__main__"} <= set(LAYERS)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_up(path: Path) -> None:
    mine = {"__init__": "layout", "__main__": "cli"}.get(layer_of(path), layer_of(path))
    for name in imported(path, tree_of(path)):
        parts = name.split(".")
        if parts[0] == "scenograph" and len(parts) > 1:
            # `from scenograph import __version__` is an import of the package, which stands on `layout`.
            theirs = parts[1] if parts[1] in LAYERS else "layout"
            assert LAYERS.index(theirs) <= LAYERS.index(mine), f"{name_of(path)} imports {name} from below"


@pytest.mark.parametrize("path", [path for path in MODULES if layer_of(path) in LIGHT_LAYERS], ids=name_of)
def test_light_layers_start_without_torch(path: Path) -> None:
    names = {name.split(".")[0] for name in imported(path, top_level(tree_of(path)))}
    assert not names & HEAVY


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_modules_are_short_named_and_explained(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LINES_PER_MODULE
    words = {word for part in path.relative_to(SOURCE).with_suffix("").parts for word in part.split("_")}
    assert not words & BANNED_NAMES
    assert ast.get_docstring(tree_of(path)), "a module begins with what it is, why, and after which paper"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_public_names_are_documented(path: Path) -> None:
    silent = [node.name for node in public(tree_of(path).body) if not ast.get_docstring(node)]
    assert silent == []


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_all_is_sorted_and_complete(path: Path) -> None:
    tree = tree_of(path)
    names = declared_all(tree)
    if names is None:
        return
    # Constants, classes, functions: the order of ruff's RUF022.
    assert names == sorted(names, key=lambda name: (not name.isupper(), not name[0].isupper(), name))
    defined = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    exported = {node.name for node in defined if not node.name.startswith("_") and not registered(node)}
    assert exported <= set(names)
    bound = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    bound |= {alias.asname or alias.name for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for alias in n.names}
    assert set(names) <= {node.name for node in defined} | bound


def test_functions_are_short() -> None:
    lengths = {f"{name_of(path)}:{name}": length(node) for path in MODULES for name, node in functions(tree_of(path))}
    long = {name: lines for name, lines in lengths.items() if lines > LINES_PER_FUNCTION}
    assert set(long) == set(LONG_FUNCTIONS), "too long, or on the list without need"
    assert statistics.median(lengths.values()) <= MEDIAN_FUNCTION


def python(code: str) -> str:
    """What `code` prints in a fresh interpreter."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_package_starts_without_numpy_pillow_or_torch() -> None:
    loaded = python("import sys, scenograph; print(*sys.modules)").split()
    assert not {name.split(".")[0] for name in loaded} & (HEAVY | {"numpy", "PIL"})


@pytest.mark.skipif(not (SOURCE / "cli.py").exists() and not (SOURCE / "cli").exists(), reason="no command line yet")
def test_help_answers_without_torch() -> None:
    code = """
import sys
from scenograph.cli import main
try:
    status = main(["--help"])
except SystemExit as exit:
    status = exit.code or 0
assert not status, status
print("LOADED", *sys.modules)
"""
    shown, loaded = python(code).split("LOADED")
    assert "paint" in shown
    assert not {name.split(".")[0] for name in loaded.split()} & HEAVY
