"""What to sweep: a YAML file, read, explained and validated."""
