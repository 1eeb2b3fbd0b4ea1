"""Probabilities as a running part: one learner for each interval and partition."""
