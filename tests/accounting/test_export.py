"""Exported cells as a spreadsheet reads them."""

from __future__ import annotations

import csv
import io

import pytest
from msgspec.structs import asdict

from liveroom.accounting.export import MoneyRow, csv_lines


@pytest.mark.parametrize("beginning", ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20"])
def test_no_text_of_a_user_runs_as_a_formula(beginning: str) -> None:
    """Ids and references that begin like a formula have an apostrophe before them, in whatever column, quoted or not."""
    text = beginning + 'HYPERLINK("http://evil.example","x")'
    row = MoneyRow("demo", 3, 1_700_000_000_000, "hold_confirmed", 2, user=text, reference=text)
    heading, line = csv_lines(iter([row]))
    (read,) = csv.DictReader(io.StringIO(f"{heading}\r\n{line}\r\n", newline=""))
    assert read["user"] == read["reference"] == f"'{text}"


def test_numbers_stay_numbers_and_other_text_stays_as_it_is() -> None:
    """A negative number is no formula; what merely holds such a character is not touched."""
    row = MoneyRow("demo", 3, 7, "coupon_redeemed", 2, user="a+b@x.com", hold=-1, discount_fen=-5, reference="order=7")
    heading, line = csv_lines(iter([row]))
    (read,) = csv.DictReader(io.StringIO(f"{heading}\n{line}\n"))
    assert read == {name: str(value) for name, value in asdict(row).items()}
