"""Which tests share a process where several processes run the tests."""

import ast
import functools

from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

from tests.support.paths import TOP

OF_A_FAMILY = "family"
"""Of tests whose first parameter is a family; each family is a group."""


@functools.cache
def groups_of(path: str) -> dict[str, str]:
    """Return the groups of the tests of a file that have one.

    Those that start a cluster have, as `--cluster auto` would find another's; and those that look at the demonstration,
    at the report, at the whole study or at the model of a family, or need libraries in a process of their own, as each
    of these takes a while to make.
    """
    tree = ast.parse((TOP / path).read_text(encoding="utf-8"))
    marks = [
        line.value for line in tree.body if isinstance(line, ast.Assign) and _names(line.targets) == {"pytestmark"}
    ]
    tests = [line for line in tree.body if isinstance(line, ast.FunctionDef) and line.name.startswith("test_")]
    groups = {}
    for function in tests:
        fixtures = {argument.arg for argument in function.args.args}
        if "pytest.mark.cluster" in map(ast.unparse, _parts(*marks, *function.decorator_list)):
            groups[function.name] = "cluster"
        elif "demo_run" in fixtures:
            groups[function.name] = "demo"
        elif fixtures & {"study", "study_dir"}:
            groups[function.name] = "study"
        elif "libraries" in fixtures:
            groups[function.name] = "libraries"
        elif path.startswith("tests/analysis/report/"):
            groups[function.name] = "report"
        elif path == "tests/inference/test_families.py" and "family" in fixtures:
            groups[function.name] = OF_A_FAMILY
    return groups


def _names(targets: list[ast.expr]) -> set[str]:
    return {ast.unparse(target) for target in targets}


def _parts(*trees: ast.expr) -> list[ast.expr]:
    return [part for tree in trees for part in ast.walk(tree) if isinstance(part, ast.expr)]


class GroupScheduling(LoadScopeScheduling):
    """Keeps the tests of a group together, begins with the groups, and hands out all other tests singly."""

    def _split_scope(self, nodeid: str) -> str:
        path, _, rest = nodeid.partition("::")
        name, _, case = rest.partition("[")
        group = groups_of(path).get(name, nodeid)
        return f"{group} {case.rstrip(']').partition('-')[0]}" if group == OF_A_FAMILY else group

    def mark_test_complete(self, node: WorkerController, item_index: int, duration: float = 0) -> None:
        """Forget a group that is complete: at each test, all that its process has been given are counted."""
        super().mark_test_complete(node, item_index, duration)
        groups = self.assigned_work[node]
        group = self._split_scope(self.registered_collections[node][item_index])
        if all(groups[group].values()):
            del groups[group]
