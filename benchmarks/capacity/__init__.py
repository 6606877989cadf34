"""From measured cost a log to machines: a cost model, a sizing, and a simulation of many machines."""
