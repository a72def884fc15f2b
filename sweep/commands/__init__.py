"""The commands of ``flatleak``, a file for each group: sweeping, results, watching."""
