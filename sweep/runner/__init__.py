"""Runs a sweep: the plan of what is missing, Ray Tune, timing, the lease, and what follows training."""
