"""Which tests `make test-quick` picks, on a made-up project."""

import pytest

from tests.support.affected import ALWAYS, affected

SOURCES = {
    "lm_eval/__init__.py": "",
    "lm_eval/low/__init__.py": "",
    "lm_eval/low/stone.py": "",
    "lm_eval/mid/wall.py": "from lm_eval.low import stone",
    "lm_eval/high/house.py": "def build():\n    from lm_eval.mid.wall import raise_it",
    "lm_eval/high/street.py": "import lm_eval.high.house",
    "tests/low/test_stone.py": "from lm_eval.low.stone import weigh",
    "tests/low/test_sand.py": "",
    "tests/mid/test_wall.py": "from lm_eval.mid.wall import raise_it",
    "tests/mid/conftest.py": "",
    "tests/high/test_house.py": "from tests.support.town import plan",
    "tests/high/test_street.py": "from lm_eval.high import street",
    "tests/support/town.py": "from tests.support.maps import draw",
    "tests/support/maps.py": "from lm_eval.mid import wall",
    "tests/system/test_scripts.py": "",
    "tests/test_public_api.py": "",
}


@pytest.mark.parametrize(
    ("changed", "tests"),
    [
        ("lm_eval/low/stone.py", ["low/test_stone", "low/test_sand", "mid/test_wall", "high/test_house"]),
        ("lm_eval/high/house.py", ["high/test_house", "high/test_street"]),
        ("lm_eval/high/street.py", ["high/test_house", "high/test_street"]),
        ("tests/support/maps.py", ["high/test_house"]),
        ("tests/mid/test_wall.py", ["mid/test_wall"]),
        ("tests/mid/conftest.py", ["mid/test_wall"]),
        ("scripts/run_parallel_gen_gpt.py", ["system/test_scripts", "test_public_api"]),
        ("README.md", ["test_public_api"]),
        ("data/LM_List.csv", []),
    ],
)
def test_a_change_affects_the_tests_beside_it_and_those_that_soon_import_it(changed, tests):
    assert affected([changed], SOURCES) - {ALWAYS} == {f"tests/{name}.py" for name in tests}


def test_the_house_rules_are_always_tried_and_changes_add_up():
    assert affected([], SOURCES) == {ALWAYS}
    both = affected(["README.md", "tests/mid/test_wall.py"], SOURCES)
    assert both == {ALWAYS, "tests/test_public_api.py", "tests/mid/test_wall.py"}


@pytest.mark.parametrize(("most", "kept"), [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4), (9, 4)])
def test_of_too_many_tests_the_nearest_and_narrowest_are_left(most, kept, monkeypatch):
    monkeypatch.setattr("tests.support.affected.MOST_FILES", most)
    at_first_hand = {
        "tests/high/test_all.py": "import json\nfrom lm_eval.low import stone",
        "tests/top/test_it.py": "import lm_eval.low.stone",
    }
    without = {path: text for path, text in SOURCES.items() if path != "tests/low/test_stone.py"}
    found = affected(["lm_eval/low/stone.py"], {**without, **at_first_hand})
    ranked = ["tests/top/test_it.py", "tests/high/test_all.py", "tests/high/test_house.py", "tests/mid/test_wall.py"]
    assert found == {ALWAYS, "tests/low/test_sand.py", *ranked[:kept]}
