"""Tasks from YAML files, in the form of EleutherAI's lm-evaluation-harness."""
