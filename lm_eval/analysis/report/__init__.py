"""A results folder for those who open no notebook: `report.html`, `explore.html`, and the tables by themselves.

`content` gathers what there is to say (`findings` in sentences, `remarks` on problems, `tables`), `page` and `explorer`
write it down, with `drawings` of figures and `pictures` of the first. What pages are made of lies in `static/`:
templates, styles and scripts, beside plotly.js and DataTables as their packages ship them.
"""

from lm_eval.analysis.report.content import Report, find_architectures, make_report
from lm_eval.analysis.report.files import report_on, write_report

__all__ = ["Report", "find_architectures", "make_report", "report_on", "write_report"]
