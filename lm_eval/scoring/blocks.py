"""Blocks: the documents of a long pass, cut where neither speed, nor memory, nor the number of workers has a say.

A pass begins each block with empty caches, and no batch goes beyond one. So the scores of a document don't depend on
who computes its block, nor on which others the same worker computes. A piece of work is some blocks in a row. What
decides where they begin is the documents' text (as a measure of their tokens, before any tokenizer is loaded), the
scheme, the model's size and the kind of device; so all who work on a pass cut it alike.
"""

import math
from collections.abc import Sequence

from lm_eval.config.run_config import RunConfig
from lm_eval.results.identity import Run
from lm_eval.tasks.base import Example
from lm_eval.tasks.documents import Document

Block = tuple[int, int]
"""The places of its documents among the run's: from, and up to but without."""

GPU_WORK = 2e15
"""Tokens times parameters of a block: 10 s on an H100, 3 minutes on a card of a twentieth of its speed."""
CPU_WORK = 3e12
"""The same where there is no GPU: a minute at 100 GFLOP/s."""
_USUAL_PARAMETERS = 1e9
"""Taken for a model whose size isn't known."""
_FEWEST_TOKENS_GPU, _FEWEST_TOKENS_CPU = 65_536, 2048
"""A block has some batches at least, however large the model."""
_CHARACTERS_PER_TOKEN = 4
_MOST_REPEATED = 0.025
"""Part of a block's text that the whole pass would still have vectors of: shots of blocks before it. A block goes on
until it is no more than that, however long this takes; some passes are therefore not cut at all."""
_KEPT_BYTES = 1 << 29
"""Of vectors that a pass keeps for shots that come again."""
_SEGMENTS_OF_A_SHOT = 4


def block_tokens(parameters: float | None, *, on_gpu: bool) -> int:
    """Return how many tokens a block has at least.

    Args:
        parameters: of the model, where known. They count in powers of two, so that a rough number does.
        on_gpu: whether it runs on a GPU.
    """
    size = 2.0 ** round(math.log2(max(1.0, parameters or _USUAL_PARAMETERS)))
    work, fewest = (GPU_WORK, _FEWEST_TOKENS_GPU) if on_gpu else (CPU_WORK, _FEWEST_TOKENS_CPU)
    return max(fewest, int(work / size))


def documents_now(run: Run) -> list[Document]:
    """Return the documents of a run; none where they aren't on this machine yet, or can't be read."""
    if run.identity.get("data", {}).keys() <= {"hub"}:
        return []
    try:
        return run.documents()
    except Exception:  # told by whoever computes it, as the failure of its run
        return []


def blocks_of(
    runs: Sequence[Run], documents: Sequence[Document], parameters: float | None, *, on_gpu: bool
) -> list[Block]:
    """Return the blocks of a pass, at least one.

    Args:
        runs: those that share it.
        documents: their documents.
        parameters: of its model, where known.
        on_gpu: whether it runs on a GPU.
    """
    tokens = block_tokens(parameters, on_gpu=on_gpu)
    kept = num_kept(parameters) if shares_shots(runs[0].config) else 0
    return cut_into_blocks(documents, tokens, num_kept=kept, num_decoded=num_decoded(runs))


def num_decoded(runs: Sequence[Run]) -> int:
    """Return how often a pass reads the choices, in powers of two, so that a list that grows a little is cut alike."""
    config = runs[0].config
    decodes = config.model == "dist_gen" and config.is_segmented
    return int(2 ** round(math.log2(len(runs)))) if decodes else 1


def num_kept(parameters: float | None) -> int:
    """Return about how many shots a pass keeps the vectors of, one for each segment."""
    width = (10.7 * (parameters or _USUAL_PARAMETERS)) ** (1 / 3)  # of a model that is 128 times as wide as deep
    return max(1, int(_KEPT_BYTES / (4 * width * _SEGMENTS_OF_A_SHOT)))


def shares_shots(config: RunConfig) -> bool:
    """Whether a pass encodes a shot once for all documents that show it."""
    return config.is_segmented and config.encoding_scheme != "concat_all_examples"


def cut_into_blocks(documents: Sequence[Document], tokens: int, *, num_kept: int, num_decoded: int = 1) -> list[Block]:
    """Cut documents into blocks of at least so many tokens, longer where they would repeat too many shots.

    Args:
        documents: all of a run, in order.
        tokens: the fewest of a block; a last one of fewer than half as many joins the one before it.
        num_kept: how many shots, at most, cost nothing when they come again; 0 where each document reads its own.
        num_decoded: how often the choices are read.
    """
    usual = tokens * _CHARACTERS_PER_TOKEN
    blocks: list[Block] = []
    whole, here = _Kept(num_kept), _Kept(num_kept)
    start = size = repeated = 0
    for place, document in enumerate(documents):
        size += _length(document.example, [*document.example.choices] * num_decoded)
        for shot in document.shots:
            was_kept, is_kept = whole.add(shot), here.add(shot)
            length = 0 if is_kept else _length(shot, [shot.choices[shot.gold[0]]])
            size += length
            repeated += length if was_kept else 0
        if size >= usual and repeated <= _MOST_REPEATED * size:
            blocks.append((start, place + 1))
            here, start, size, repeated = _Kept(num_kept), place + 1, 0, 0
    if start < len(documents) or not blocks:
        if blocks and (size < usual / 2 or repeated > _MOST_REPEATED * size):
            start = blocks.pop()[0]
        blocks.append((start, len(documents)))
    return blocks


class _Kept:
    """The shots that a pass has vectors of: the last ones, as many as it keeps."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._shots: dict[Example, None] = {}

    def add(self, shot: Example) -> bool:
        """Return whether a shot is among them; if not, it takes the place of the oldest."""
        if shot in self._shots:
            return True
        self._shots[shot] = None
        if len(self._shots) > self._number:
            del self._shots[next(iter(self._shots))]
        return False


def _length(example: Example, choices: Sequence[str]) -> int:
    """Return the characters of an example with these of its choices."""
    texts = [*(example.contexts or example.question), *choices]
    return sum(map(len, texts))
