"""Counting documents: how far each run of a grid is, for its progress and the estimate of the time that is left."""

from lm_eval.config.run_config import RunConfig
from lm_eval.scheduling.heartbeat import Progress
from lm_eval.scheduling.timing import RemainingTime


class DocumentCount:
    """The documents of a grid's runs, and those that are done."""

    def __init__(self, remaining: RemainingTime, progress: Progress) -> None:
        self._remaining = remaining
        self._progress = progress
        self._all = {run.config: unit.num_documents for unit in remaining.units for run in unit.runs}
        self._done = dict.fromkeys(self._all, 0)
        progress.documents = sum(self._all.values())

    def reach(self, config: RunConfig, number: int, *, before: bool = False) -> None:
        """Count the documents of a run that are done.

        Args:
            config: the run's.
            number: how many are done in all.
            before: whether they were done before this grid began.
        """
        self._progress.documents_done += number - self._done.get(config, 0)
        self._done[config] = number
        if in_all := self._all.get(config):
            note = self._remaining.skip if before else self._remaining.advance
            note(config, number / in_all)

    def finish(self, config: RunConfig) -> None:
        """Count a run that has ended, in whatever way."""
        self.reach(config, self._all.get(config, 0))
        self._remaining.finish(config)
