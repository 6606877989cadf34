"""Several log services as one sink: writes are balanced, what is read is merged from all."""
