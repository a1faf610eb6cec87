"""Cutting the units of a plan: which of them are long passes, shared piece by piece."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from lm_eval.scheduling.units import WorkUnit
from lm_eval.scoring.blocks import Block, block_tokens, blocks_of, shares_shots


def cut_units(units: Sequence[WorkUnit], sizes: Mapping[str, int | None], *, on_gpu: bool) -> list[WorkUnit]:
    """Return units with the numbers of their documents, and with blocks where there is more than one.

    Args:
        units: whole passes.
        sizes: parameters of every model, by its name; None where they are not known.
        on_gpu: whether they will run on GPUs.
    """
    known: dict[tuple[object, ...], Sequence[Block]] = {}  # passes of other models over the same documents
    cut = []
    for unit in units:
        run = unit.runs[0]
        form, size = run.form, sizes.get(run.config.pretrained)
        data = json.dumps(run.identity.get("data"), sort_keys=True)
        documents = (run.task.name, form.data_dir, data, form.num_fewshot, form.limit, form.has_context)
        key = (*documents, shares_shots(run.config), block_tokens(size, on_gpu=on_gpu))
        if key not in known:
            known[key] = blocks_of(run, size, on_gpu=on_gpu)
        blocks = known[key]
        number = blocks[-1][1] if blocks else 0
        cut.append(replace(unit, num_documents=number, blocks=tuple(blocks) if len(blocks) > 1 else ()))
    return cut
