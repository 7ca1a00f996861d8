"""The order of the modules: each imports only from modules above it, and heavy packages only where they are needed."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator

import pytest

from coach.config import BUILT_IN_KNOWLEDGE

ROOT = BUILT_IN_KNOWLEDGE.parent
COACH = ROOT / "coach"

# From the ground up. A new module takes the highest place that its imports allow.
ORDER = """
errors config sentences plain_text numerals care greeting batch options

knowledge passages vocabulary outside words encoder vector_store ranking retrieval worked evidence

adapters llm ct2_file weights gguf_file rotation int8_product quantised conversion chat_tokens reply_text kv_cache
decoding packing loading residual
transformers_llm remote_llm

prompts grounding grading feedback wording screening stretches tokenwise attention probe point_probe cross_encoder
misstatements
calibration judge
session
events

selection resolution answering exercise coach doctor

audio pronunciation transcript terms doubts delivery mishearing hearing timeline speech voice spoken

progress report records

view page card delivery_panel layout practice replies serving

__main__
""".split()

# What each of these may use of the coach: an engine knows no interview, a recogniser no grading.
ALONE = {
    "knowledge": {"errors", "sentences"},
    "encoder": {"errors", "plain_text", "words"},
    "retrieval": {
        "errors", "sentences", "plain_text", "knowledge", "passages", "vocabulary", "outside", "encoder",
        "vector_store", "ranking", "words",
    },
    "llm": {"errors", "adapters"},
    "ct2_file": {"errors"},
    "weights": {"errors", "ct2_file"},
    "transformers_llm": {
        "errors", "config", "llm", "weights", "loading", "chat_tokens", "reply_text", "kv_cache", "decoding", "packing",
        "residual", "adapters",
    },
    "remote_llm": {"errors", "config", "llm", "chat_tokens", "reply_text"},
    "prompts": {"knowledge", "llm", "retrieval", "sentences"},
    "speech": {
        "errors", "config", "weights", "audio", "numerals", "pronunciation", "transcript", "terms", "delivery",
        "mishearing", "hearing",
    },
    "__init__": set(),
}  # fmt: skip

HEAVY = {
    "torch", "transformers", "faiss", "gradio", "faster_whisper", "sentence_transformers", "bm25s", "ctranslate2",
    "accelerate", "gguf", "piper", "av", "fastapi", "uvicorn", "pandas",
}  # fmt: skip
# These are imported where a model is loaded and nowhere else, so they may have torch at their top.
BESIDE_A_MODEL = {"quantised", "int8_product", "rotation", "kv_cache"}

IMPORT_SECONDS = 0.2
MODULES = sorted(path.stem for path in COACH.glob("*.py"))


def tree(module: str) -> ast.Module:
    return ast.parse((COACH / f"{module}.py").read_text(encoding="utf-8"))


def imported(nodes: Iterator[ast.AST]) -> Iterator[str]:
    """Dotted names of what import statements among the nodes import; relative ones with a leading dot."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            yield base
            if base == "coach":
                yield from (f"coach.{alias.name}" for alias in node.names)


def of_the_coach(module: str) -> set[str]:
    """The coach's modules that a module imports, also inside functions and for type checking."""
    return {name.split(".")[1] for name in imported(ast.walk(tree(module))) if name.startswith("coach.")}


def at_import(node: ast.AST) -> Iterator[ast.AST]:
    """What runs when the module is imported: everything but function bodies and blocks for type checking."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            yield from (grand for other in child.orelse for grand in (other, *at_import(other)))
            continue
        yield child
        yield from at_import(child)


def test_every_module_has_its_place() -> None:
    assert len(ORDER) == len(set(ORDER))
    assert set(MODULES) - set(ORDER) == {"__init__"}, "give a new module its place in ORDER"


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_from_modules_above_it(module: str) -> None:
    above = set(ORDER[: ORDER.index(module)]) if module in ORDER else set()
    assert of_the_coach(module) - above == set()
    assert [name for name in imported(ast.walk(tree(module))) if name.startswith(".")] == []


@pytest.mark.parametrize("module", sorted(set(ALONE) & set(MODULES)))
def test_a_boundary_knows_nothing_of_what_surrounds_it(module: str) -> None:
    assert of_the_coach(module) - ALONE[module] == set()


@pytest.mark.parametrize("module", MODULES)
def test_heavy_packages_are_imported_where_they_are_needed(module: str) -> None:
    names = list(imported(at_import(tree(module))))
    heavy = {name.split(".")[0] for name in names} & HEAVY
    beside = {name.split(".")[1] for name in names if name.startswith("coach.")} & BESIDE_A_MODEL
    if module in BESIDE_A_MODEL:
        assert heavy <= {"torch", "transformers"}
    else:
        assert heavy == set()
        assert beside == set(), "import it in the function that loads the model"


def reads_environment(source: ast.Module) -> bool:
    """Whether a module looks into the environment; setting a variable for a library is no look."""
    written = {id(n.value) for n in ast.walk(source) if isinstance(n, ast.Subscript) and isinstance(n.ctx, ast.Store)}
    return any(
        isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv", "environb") and id(node) not in written
        for node in ast.walk(source)
    ) or any(name in ("os.environ", "os.getenv") for name in imported(ast.walk(source)))


def test_only_the_settings_read_the_environment() -> None:
    paths = [*COACH.glob("*.py"), ROOT / "ui.py"]
    readers = {path.stem for path in paths if reads_environment(ast.parse(path.read_text(encoding="utf-8")))}
    assert readers == {"config"}


def test_nothing_is_called_by_a_name_that_says_nothing() -> None:
    empty = {"utils", "util", "helpers", "common", "misc", "manager"}
    assert set(MODULES) & empty == set()
    classes = [node.name for module in MODULES for node in ast.walk(tree(module)) if isinstance(node, ast.ClassDef)]
    assert [name for name in classes if name.endswith(("Manager", "Helper", "Util", "Utils"))] == []


def seconds_to_import(statement: str) -> float:
    """Seconds that a statement takes in a fresh interpreter, the best of three."""
    code = f"import time; began = time.perf_counter(); {statement}; print(time.perf_counter() - began)"
    took = [
        float(subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True).stdout)
        for _ in range(3)
    ]
    return min(took)


def test_importing_the_coach_is_instant() -> None:
    assert seconds_to_import("import coach") < IMPORT_SECONDS


def test_the_command_line_starts_without_numpy() -> None:
    code = "import sys, coach.__main__\nprint('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr


def test_importing_any_light_module_loads_nothing_heavy() -> None:
    """Import what a program would, in a fresh interpreter, and look at what came with it."""
    light = [f"coach.{name}" for name in ORDER if name in MODULES and name not in BESIDE_A_MODEL]
    code = f"import importlib, sys\nfor name in {light}: importlib.import_module(name)\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {name.split(".")[0] for name in done.stdout.split()} & HEAVY == set()


def test_the_rules_can_fail() -> None:
    """The walkers see what they are meant to see: inside functions, under conditions, in classes."""
    sample = ast.parse(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import torch\n"
        "class A:\n    import faiss\n"
        "try:\n    import gradio\nexcept ImportError:\n    pass\n"
        "def f():\n    import transformers\n    from coach import coach\n    from coach.page import safe\n"
    )
    assert set(imported(at_import(sample))) == {"typing", "faiss", "gradio"}
    assert {"torch", "transformers", "coach.coach", "coach.page"} <= set(imported(ast.walk(sample)))
    assert reads_environment(ast.parse("import os\nx = os.environ.get('A')"))
    assert reads_environment(ast.parse("import os\nx = os.environ['A']"))
    assert not reads_environment(ast.parse("import os\nos.environ['A'] = '1'"))
