"""Grafana dashboards and the live page."""
