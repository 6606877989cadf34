"""A spool in NATS JetStream: a durable queue that many bridges and workers share."""
