"""Bridges, log services and JetStream in virtual time: a queueing simulation that repeats itself by its seed."""
