"""Ask what a language model's vectors mean: score continuations against aggregated concept vectors.

The modules follow the data: `config` → `tasks` → `documents` → `contexts` → `tokenised` → `models` → `aggregation` →
`scoring` → `metrics` → `evaluator` → `results`; `grid`, `scheduler` and `launch` run many configurations.
Importing the package loads nothing heavy.
"""

__version__ = "0.1.0"
