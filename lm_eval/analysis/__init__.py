"""Results, looked at: one table of runs, scores beside their baselines, comparisons, figures."""
