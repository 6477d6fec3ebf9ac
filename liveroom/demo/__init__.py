"""The demo: what `make run` shows."""

from liveroom.demo.show import Demo

__all__ = ["Demo"]
