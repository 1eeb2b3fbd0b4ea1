"""Solidity contracts and the simulator that makes activity on a local chain."""
