"""Cutting the units of a plan: which of them are long passes, shared piece by piece."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from lm_eval.results.identity import Run
from lm_eval.scheduling.units import WorkUnit
from lm_eval.scoring.blocks import Block, block_tokens, blocks_of, documents_now, num_decoded, shares_shots


def cut_units(units: Sequence[WorkUnit], sizes: Mapping[str, int | None], *, on_gpu: bool) -> list[WorkUnit]:
    """Return units with the numbers of their documents, and with blocks where there is more than one.

    Args:
        units: whole passes.
        sizes: parameters of every model, by its name; None where they are not known.
        on_gpu: whether they will run on GPUs.
    """
    alike: dict[tuple[object, ...], list[int]] = defaultdict(list)  # each documents are read once, for all models
    for place, unit in enumerate(units):
        alike[_documents_key(unit.runs[0])].append(place)
    cut = list(units)
    for places in alike.values():
        documents = documents_now(units[places[0]].runs[0])
        known: dict[tuple[object, ...], Sequence[Block]] = {}
        for place in places if documents else ():
            runs = units[place].runs
            size = sizes.get(runs[0].config.pretrained)
            key = shares_shots(runs[0].config), block_tokens(size, on_gpu=on_gpu), num_decoded(runs)
            if key not in known:
                known[key] = blocks_of(runs, documents, size, on_gpu=on_gpu)
            blocks = tuple(known[key])
            cut[place] = replace(units[place], num_documents=len(documents), blocks=blocks if len(blocks) > 1 else ())
    return cut


def _documents_key(run: Run) -> tuple[object, ...]:
    form = run.form
    data = json.dumps(run.identity.get("data"), sort_keys=True)
    return form.model, form.task, form.data_dir, data, form.num_fewshot, form.limit, form.seed, form.has_context
