"""Audits: one ensemble -> its metrics with intervals, a sweep -> the tables of ``results/``."""
