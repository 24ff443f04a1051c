"""A fingerprint of each workflow: what it asks of Temporal, method by method, in the order in which the code says it.

`python -m tests.workflows.fingerprints` writes them to `fingerprints.json` beside this file, to be committed.
"""

import ast
import inspect
import json
from collections.abc import Iterator
from pathlib import Path

from workers.registry import WORKFLOWS
from workflows.slot_story import SlotStory

COMMITTED = Path(__file__).with_name("fingerprints.json")
# What the SDK writes into the history, or decides by it.
_COMMANDS = frozenset(
    {
        "continue_as_new",
        "execute_activity",
        "execute_activity_method",
        "execute_child_workflow",
        "execute_local_activity",
        "patched",
        "sleep",
        "start_activity_method",
        "start_child_workflow",
        "upsert_memo",
        "upsert_search_attributes",
        "uuid4",
        "wait_condition",
    }
)


def fingerprints() -> dict[str, dict[str, list[str]]]:
    """Workflow -> method -> its commands and the methods of the same workflow it calls; so too of the story that two
    workflows tell.
    """
    return {told.__name__: _methods(told) for told in (*WORKFLOWS, SlotStory)}


def _methods(workflow: type) -> dict[str, list[str]]:
    tree = ast.parse(inspect.getsource(workflow)).body[0]
    assert isinstance(tree, ast.ClassDef)
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    own = {function.name for function in functions}
    found = {function.name: [step for node in function.body for step in _steps(node, own)] for function in functions}
    return {name: steps for name, steps in found.items() if steps}


def _steps(node: ast.AST, own: set[str]) -> Iterator[str]:
    """The commands below `node`, inner calls before the outer one, as they are carried out."""
    for child in ast.iter_child_nodes(node):
        yield from _steps(child, own)
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return
    name, owner = node.func.attr, ast.unparse(node.func.value)
    if owner == "self" and name in own:
        yield f"self.{name}"
    elif owner == "workflow" and name in _COMMANDS:
        yield f"{name} {_what(node)}".strip()


def _what(call: ast.Call) -> str:
    """Which activity, or that a wait has a timer."""
    if "activity" in ast.unparse(call.func) and call.args:
        return ast.unparse(call.args[0])
    return "with a timer" if any(keyword.arg == "timeout" for keyword in call.keywords) else ""


if __name__ == "__main__":
    COMMITTED.write_text(json.dumps(fingerprints(), indent=2) + "\n")
