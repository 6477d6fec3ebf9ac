"""Gateways as processes of their own on one machine, without Kafka: the sides of the main process and of a worker."""
