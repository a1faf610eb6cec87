"""How CPU cores are shared among workers; the rest of the executor is tested through the scripts."""

import pytest

from lm_eval.workforce import share_cpus


@pytest.mark.parametrize(
    ("cpus", "num_units", "num_workers", "threads"),
    [
        ([2], 1, 1, 2),
        ([2], 2, 2, 1),
        ([2], 9, 2, 1),
        ([8], 1, 1, 8),
        ([8], 3, 3, 2),
        ([64], 1, 1, 64),
        ([64], 100, 16, 4),
        ([4, 4], 2, 2, 4),
        ([4, 4], 100, 8, 1),
        ([1], 5, 1, 1),
        ([8, 2], 2, 2, 4),
        ([8, 2], 1, 1, 8),
    ],
)
def test_few_units_of_work_get_all_cores_and_many_share_them(cpus, num_units, num_workers, threads):
    assert share_cpus(cpus, num_units) == (num_workers, threads)
