"""Bridges, workers and a log service around three NATS servers, which are killed one by one under load."""
