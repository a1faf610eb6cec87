"""Figures of results: each takes runs with their scores (`scores.add_scores`) and returns a plotly figure.

To add a figure, write a module with a function that checks the table (`selection.scored`) and draws one `Score`,
handed to `score_toggle.with_toggle`; name it below for notebooks, and in `gallery` for the report. Its words come
from `labels`, its colours from `style`, what stands around its panels from `layout`.
"""

from lm_eval.analysis.figures.agreement import agreement
from lm_eval.analysis.figures.at_a_glance import at_a_glance
from lm_eval.analysis.figures.bars import main_bars
from lm_eval.analysis.figures.best_table import best_settings, best_table
from lm_eval.analysis.figures.compression_curve import compression_curve
from lm_eval.analysis.figures.depth_lines import depth_lines
from lm_eval.analysis.figures.effects import effects
from lm_eval.analysis.figures.entry_map import entry_map
from lm_eval.analysis.figures.export import save
from lm_eval.analysis.figures.gallery import draw_all
from lm_eval.analysis.figures.layer_heat_map import layer_heat_map
from lm_eval.analysis.figures.layer_lines import layer_lines
from lm_eval.analysis.figures.margin_map import margin_map
from lm_eval.analysis.figures.parallel_categories import parallel_settings
from lm_eval.analysis.figures.scaling import scaling
from lm_eval.analysis.figures.selection import largest_study
from lm_eval.analysis.figures.specification_curve import specification_curve
from lm_eval.analysis.figures.walk_map import walk_map

__all__ = [
    "agreement",
    "at_a_glance",
    "best_settings",
    "best_table",
    "compression_curve",
    "depth_lines",
    "draw_all",
    "effects",
    "entry_map",
    "largest_study",
    "layer_heat_map",
    "layer_lines",
    "main_bars",
    "margin_map",
    "parallel_settings",
    "save",
    "scaling",
    "specification_curve",
    "walk_map",
]
