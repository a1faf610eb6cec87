"""What a grid prints at its end."""

from lm_eval.grid.console import describe_failures
from lm_eval.grid.plan import Plan
from lm_eval.results.failures import Failure
from lm_eval.results.folder import ResultsFolder
from lm_eval.scheduling.heartbeat import Progress
from lm_eval.scheduling.summary import Summary
from lm_eval.scheduling.units import Outcome
from tests.support.grids import expand, grid


def test_of_many_runs_that_fail_of_one_cause_a_few_are_named_and_the_others_counted(tmp_path):
    configs = expand(grid(num_fewshot=list(range(8))))
    causes = ["no weights"] * 7 + ["another"]
    failures = [
        Outcome(config=config, failure=Failure(message=cause)) for config, cause in zip(configs, causes, strict=True)
    ]
    lines = describe_failures(
        Plan(), Summary(progress=Progress(planned=8, skipped=0), failures=failures), ResultsFolder(tmp_path)
    )
    named = [line for line in lines if line.startswith("failed: ")]
    assert [f"{number} shot" in line for number, line in enumerate(named[:4])] == [True] * 4
    assert named[4] == "failed: 3 more runs, of the same cause"
    assert len(named) == 6
    assert [line for line in lines if line.startswith("  ")] == ["  no weights", "  another"]
