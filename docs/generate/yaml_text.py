"""Plain values as the text of a generated YAML file."""

from __future__ import annotations

from typing import Any

import yaml

__all__ = ["yaml_text"]

HEAD = """\
# Made from the classes by `python -m docs.generate`; do not edit.
"""


class _Dumper(yaml.SafeDumper):
    """YAML without anchors: equal values are written in full each time."""

    def ignore_aliases(self, data: Any) -> bool:
        """Never replace an equal value by an alias."""
        return True


def yaml_text(document: dict[str, Any]) -> str:
    """The document as YAML, below a comment that says where it comes from."""
    written: str = yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=140)
    return HEAD + written
