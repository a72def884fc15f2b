"""Trains a stack of replicas: the task, the stacked network, memory, timing and calibration."""
