"""What a log is and what may happen to it: values and rules, no I/O, no clock, no framework."""
