"""Watches a sweep: status, the terminal's bar, Prometheus, Grafana and Tune's loggers."""
