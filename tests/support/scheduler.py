"""Which tests share a process where several processes run the tests."""

import functools
import re

from xdist.scheduler import LoadScopeScheduling

from tests.support.paths import TOP


@functools.cache
def group_of(path: str) -> str | None:
    """Return the group of a file of tests: what starts Ray, as two clusters on a machine would find each other, or what
    reads the whole study, which takes a while."""
    text = (TOP / path).read_text(encoding="utf-8")
    return "ray" if re.search(r"\bmark\.ray\b", text) else "study" if "study_dir" in text else None


class GroupScheduling(LoadScopeScheduling):
    """Keeps the files of a group together, the largest group begun first, and hands out all other tests singly."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid.partition("::")[0]) or nodeid
