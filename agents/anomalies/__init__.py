"""Anomalies as a running part: what trades and events of contracts are unlike those before."""
