"""Bad inputs, in short: `python -m tests.reliability` throws thousands. And what no input may ever reach: pickle."""

import ast
from pathlib import Path

import pytest

import gpt
from tests.reliability.inputs import bad_inputs

PROJECT = Path(gpt.__file__).resolve().parents[1]
SOURCES = [*sorted((PROJECT / "gpt").rglob("*.py")), PROJECT / "demo.py"]
UNSAFE = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


@pytest.fixture(scope="module")
def counts(seed) -> dict:
    return bad_inputs(200, seed)


def test_every_kind_is_thrown(counts):
    assert counts["tried"] == 200
    assert len(counts["kinds"]) == 14


@pytest.mark.parametrize("what", ["accepted", "tracebacks", "without_a_sentence", "faults", "server_deaths", "touched_outside"])
def test_no_bad_input_does_anything(counts, what):
    assert counts[what] == 0, counts["examples"]


def test_good_inputs_in_between_are_answered(counts):
    assert counts["good_tried"] >= 5
    assert counts["good_failed"] == 0, counts["examples"]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_nothing_unpickles(path):
    assert unpickling(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("source", ["import pickle", "from pickle import loads", "import torch\ntorch.load('x')", "from torch import load",
                                    "import numpy as np\nnp.load('x', allow_pickle=True)", "import torch as t\nt.load('x')",
                                    "import torch\ntorch.hub.load('x')",
                                    "__import__('pickle')", "import importlib\nimportlib.import_module('pickle')", "import os, shelve"])
def test_the_check_sees_it_in_all_its_forms(source):
    assert unpickling(source)


def test_words_are_not_taken_for_code():
    assert unpickling('"""no pickle, no torch.load"""\nimport json\njson.load(file)\nrun.load_last()') == []


def unpickling(source: str) -> list[str]:
    """Where a module could unpickle: imports of modules that do, torch.load, allow_pickle, imports by name."""
    tree, found = ast.parse(source), []
    torches = {name.asname or name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names
               if name.name == "torch"}
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names) if any(name.name.split(".")[0] in UNSAFE for name in names):
                found.append(f"line {node.lineno}: import")
            case ast.ImportFrom(module=module, names=names) if module and (
                    module.split(".")[0] in UNSAFE or (module == "torch" and {"load", "serialization"} & {name.name for name in names})):
                found.append(f"line {node.lineno}: from {module}")
            case ast.Attribute(value=value, attr="load") if ast.unparse(value).split(".")[0] in torches:
                found.append(f"line {node.lineno}: {ast.unparse(node)}")
            case ast.keyword(arg="allow_pickle"):
                found.append(f"line {node.value.lineno}: allow_pickle")
            case ast.Constant(value=value) if isinstance(value, str) and value in UNSAFE:
                found.append(f"line {node.lineno}: {value}")
    return found
