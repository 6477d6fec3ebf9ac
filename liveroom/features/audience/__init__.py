"""The audience: who watches, as gateways report it."""
