"""Bridges, log services and JetStream in virtual time: a simulation that a seed repeats."""
