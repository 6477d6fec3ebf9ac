"""The demo of `make run`."""

from liveroom.demo.show import Demo

__all__ = ["Demo"]
