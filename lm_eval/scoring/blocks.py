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
"""Part of a block's text that blocks before it had too: shots that the whole pass would encode once. A block goes on
until it is no more than that …"""
_MOST_STRETCHED = 8
"""… or so many times as long as it would be: where shots hardly ever come again, no length would help."""


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


def blocks_of(run: Run, documents: Sequence[Document], parameters: float | None, *, on_gpu: bool) -> list[Block]:
    """Return the blocks of a run's pass, at least one, the same for all runs that share it.

    Args:
        run: the run.
        documents: its documents.
        parameters: of its model, where known.
        on_gpu: whether it runs on a GPU.
    """
    tokens = block_tokens(parameters, on_gpu=on_gpu)
    return cut_into_blocks(documents, tokens, shares_shots=shares_shots(run.config))


def shares_shots(config: RunConfig) -> bool:
    """Whether a pass encodes a shot once for all documents that show it."""
    return config.is_segmented and config.encoding_scheme != "concat_all_examples"


def cut_into_blocks(documents: Sequence[Document], tokens: int, *, shares_shots: bool) -> list[Block]:
    """Cut documents into blocks of at least so many tokens, longer where they would repeat too many shots.

    Args:
        documents: all of a run, in order.
        tokens: the fewest of a block; a last one of fewer than half as many joins the one before it.
        shares_shots: whether shots that come again cost nothing within a block.
    """
    usual = tokens * _CHARACTERS_PER_TOKEN
    blocks: list[Block] = []
    before, here = set[Example](), set[Example]()
    start = size = repeated = 0
    for place, document in enumerate(documents):
        size += _length(document.example, document.example.choices)
        for shot in document.shots:
            if shares_shots and shot in here:
                continue
            here.add(shot)
            length = _length(shot, [shot.choices[shot.gold[0]]])
            size += length
            repeated += length if shares_shots and shot in before else 0
        if size >= usual and (repeated <= _MOST_REPEATED * size or size >= _MOST_STRETCHED * usual):
            blocks.append((start, place + 1))
            before |= here
            here, start, size, repeated = set(), place + 1, 0, 0
    if start < len(documents) or not blocks:
        if blocks and size < usual / 2:
            start = blocks.pop()[0]
        blocks.append((start, len(documents)))
    return blocks


def _length(example: Example, choices: Sequence[str]) -> int:
    """Return the characters of an example with these of its choices."""
    texts = [*(example.contexts or example.question), *choices]
    return sum(map(len, texts))
