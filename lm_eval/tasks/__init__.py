"""Tasks: reading dataset rows as examples, the built-in tasks, and tasks from YAML files."""
