"""What `scripts/compare.py` prints: two runs over the same documents, and the documents on which they part."""

import json
import math
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lm_eval.analysis.compare import LEVEL, Comparison, Samples, compare, read_samples
from lm_eval.common.regular_files import say_why
from lm_eval.common.text import count_of
from lm_eval.common.text_table import Heading, TextTable
from lm_eval.config.run_config import describe
from lm_eval.errors import ConfigurationError
from lm_eval.results.result_file import StoredResult, read_results
from lm_eval.results.samples import Sample

_LINE = 44
"""Characters of the line on which the difference is drawn."""
_INDENT = " " * 12


@dataclass(frozen=True, kw_only=True)
class ComparedRun:
    """A run with the scores of its documents."""

    stored: StoredResult
    samples: Samples

    @classmethod
    def read(cls, path: Path, task: str | None) -> "ComparedRun":
        """Read a result file.

        Args:
            path: the file.
            task: which of its tasks; None takes the only one.

        Raises:
            ConfigurationError: it is no result file, or holds no scores of single documents.
        """
        try:
            results = read_results(path)
        except FileNotFoundError as error:
            raise ConfigurationError(f"{path}: no such file; give a result file of a run with --log_samples") from error
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"{path}: {say_why(error)}") from error
        only = results[0].config.task if len(results) == 1 else None
        samples = read_samples(path, task or only)
        stored = next((one for one in results if one.config.task == samples.task), None)
        if stored is None:
            raise ConfigurationError(
                f"{path}: it holds scores of documents for task {samples.task}, and no result of it"
            )
        return cls(stored=stored, samples=samples)


def describe_comparison(a: ComparedRun, b: ComparedRun, *, num_documents: int, width: int) -> Iterator[str]:
    """Yield, line by line, how two runs differ and on which documents.

    Args:
        a: a run.
        b: another.
        num_documents: how many documents on which they part are shown.
        width: characters a line may have.

    Raises:
        ConfigurationError: they are of other data, or have no document in common.
    """
    found = compare(a.samples, b.samples)
    for name, run in (("A", a), ("B", b)):
        yield from _wrap(f"{name}  {describe(run.stored.config)}", width, "   ")
        yield f"   {run.stored.path}"
    yield ""
    yield from _describe_numbers(found)
    yield ""
    yield from _describe_documents(a, b, num_documents, width)


def draw_comparison(a: ComparedRun, b: ComparedRun, path: Path) -> list[Path]:
    """Draw how two runs differ (`figures.agreement`), and return the files written: PNG, PDF and a page.

    Raises:
        ConfigurationError: there is nothing to draw, or the folder can't be written.
    """
    from lm_eval.analysis import figures  # noqa: PLC0415  (plotly takes a while, and most calls only print)

    texts = [f"{name}: {describe(run.stored.config)}" for name, run in (("A", a), ("B", b))]
    figure = figures.agreement(a.samples, b.samples, title="Where two runs part", subtitle=texts)
    return figures.save(figure, path)


def _describe_numbers(found: Comparison) -> Iterator[str]:
    both = round(found.acc_a * found.num_documents) - found.only_a
    neither = found.num_documents - both - found.only_a - found.only_b
    headings = [Heading(name=""), *(Heading(name=name, is_number=True) for name in ("B right", "B wrong"))]
    rows = [["A right", str(both), str(found.only_a)], ["A wrong", str(found.only_b), str(neither)]]
    yield f"{count_of(found.num_documents, 'document')} that both have scored:"
    yield ""
    yield from (f"{_INDENT}{line}" for line in TextTable(headings, rows).draw().splitlines())
    yield ""
    yield f"accuracy    A {found.acc_a:.3f}, B {found.acc_b:.3f}"
    yield (
        f"difference  B - A = {found.difference:+.3f}, {LEVEL:.0%} interval {found.low:+.3f} to {found.high:+.3f} "
        "(bootstrap)"
    )
    yield f"{_INDENT}{draw_interval(found.low, found.difference, found.high)}"
    differ = found.p_value < 1 - LEVEL
    verdict = "one is right more often" if differ else "no difference can be told"
    parted = count_of(found.only_a + found.only_b, "document")
    yield f"McNemar     p = {_say_p(found.p_value)} (exact, {parted}): {verdict}"


def _say_p(p_value: float) -> str:
    return f"{p_value:.1e}" if p_value < 0.0005 else f"{p_value:.3f}"


def draw_interval(low: float, middle: float, high: float) -> str:
    """Return a line with an interval on it, its middle, and 0."""
    reach = max(0.01, abs(low), abs(high))
    step = 10.0 ** math.floor(math.log10(reach))
    end = next(step * factor for factor in (1, 2, 5, 10) if step * factor >= reach - 1e-12)
    line = ["─"] * (_LINE + 1)

    def place(value: float) -> int:
        return round((value + end) / (2 * end) * _LINE)

    line[place(0.0)] = "┼"
    for index in range(place(low), place(high) + 1):
        line[index] = "╪" if index == place(0.0) else "═"
    line[place(low)], line[place(high)] = "╞", "╡"
    line[place(middle)] = "●"
    return f"{-end:+g} {''.join(line)} {end:+g}"


def _describe_documents(a: ComparedRun, b: ComparedRun, number: int, width: int) -> Iterator[str]:
    right_a, right_b = a.samples.is_right, b.samples.is_right
    parted = [index for index in right_a.index.intersection(right_b.index) if right_a[index] != right_b[index]]
    only = {"A": [i for i in parted if right_a[i]], "B": [i for i in parted if right_b[i]]}
    for name, documents in only.items():
        listed = " ".join(map(str, documents)) or "none"
        yield from _wrap(f"only {name} right  {listed}", width, " " * 14)
    shown = parted[:number]
    if shown and not all(run.samples.by_id[index].choices for run in (a, b) for index in shown):
        yield "their texts aren't stored: run both with --log_samples --log_texts to read them here"
        return
    for index in shown:
        yield ""
        yield from _describe_document(index, a, b, width)
    if len(parted) > len(shown):
        yield ""
        yield f"{count_of(len(parted) - len(shown), 'document')} more on which they part; --documents N shows as many"


def _describe_document(index: int, a: ComparedRun, b: ComparedRun, width: int) -> Iterator[str]:
    """Yield a document's query, and its choices with what each run makes of them."""
    of_a, of_b = a.samples.by_id[index], b.samples.by_id[index]
    which = "A" if a.samples.is_right[index] else "B"
    yield f"document {index}: only {which} is right"
    yield from _wrap(json.dumps(of_a.query or of_b.query, ensure_ascii=False), width, "  ", "  ")
    yield f"  {'A':>9}{'B':>9}  the best of each is marked <, what is right *"
    for number, text in enumerate(of_a.choices or []):
        cells = "".join(_say_score(one, number) for one in (of_a, of_b))
        mark = "*" if number in of_a.gold else " "
        yield from _wrap(json.dumps(text, ensure_ascii=False), width, " " * 23, f"  {cells} {mark} ")


def _say_score(sample: Sample, number: int) -> str:
    """Return the score of a choice, marked where it is the best; blanks where there is no such choice."""
    if number >= len(sample.scores):
        return " " * 9
    return f"{sample.scores[number]:8.3f}{'<' if number == sample.best else ' '}"


def _wrap(text: str, width: int, indent: str, first: str = "") -> list[str]:
    return textwrap.wrap(text, width, initial_indent=first, subsequent_indent=indent, break_on_hyphens=False)
