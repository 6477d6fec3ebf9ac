"""Logs: one line per event, to standard error, as text for people or JSON for collectors."""

from __future__ import annotations

import json
import logging
import sys
import time
from datetime import UTC, datetime
from typing import Any

import orjson

from liveroom.config.schema import LogsConfig
from liveroom.messages.text import escaped

__all__ = ["set_up_logs"]

#: Libraries that log every step at INFO, and the same problem many times a second.
TALKATIVE = ("aiokafka",)
#: Shortest time between two equal lines of such a library.
REPEATED_S = 10.0

_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def set_up_logs(config: LogsConfig) -> None:
    """Send all logs of the process to standard error. Extra fields of a log call appear as name=value."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if config.format == "json" else _Text())
    handler.addFilter(_NowAndThen())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(config.level.upper())
    for talkative in TALKATIVE:
        logging.getLogger(talkative).setLevel(max(root.level, logging.WARNING))


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    return {k: v for k, v in vars(record).items() if k not in _PLAIN}


class _NowAndThen(logging.Filter):
    """Passes only the first of equal messages of a talkative library in a while. The next one says how many were left out."""

    def __init__(self) -> None:
        super().__init__()
        # (logger, message without values) -> time of the last line, and how many were dropped since
        self._seen: dict[tuple[str, str], list[float]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith(TALKATIVE):
            return True
        key = (record.name, str(record.msg))
        seen = self._seen.setdefault(key, [-REPEATED_S, 0])
        now = time.monotonic()
        if now - seen[0] < REPEATED_S:
            seen[1] += 1
            return False
        if seen[1]:
            record.omitted = int(seen[1])
        seen[:] = [now, 0]
        return True


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S.%f")[:-3]
        extra = "".join(f" {k}={v}" for k, v in _extra(record).items())
        # Text from users cannot begin a new line or color the terminal.
        line = escaped(f"{at} {record.levelname.lower():7} {record.name}: {record.getMessage()}{extra}")
        trace = self.formatException(record.exc_info).split("\n") if record.exc_info else []
        return "\n".join((line, *map(escaped, trace)))


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            **_extra(record),
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        try:
            return escaped(orjson.dumps(line, default=str).decode())
        except TypeError:  # half a surrogate pair, an integer beyond 64 bits
            return json.dumps(line, default=str)
