"""What carries units of work out: this process, or Ray."""
