"""The header of a cell is understood, taken off, or left for the magic to complain about."""

from __future__ import annotations

import pytest
from IPython.core.error import UsageError

from lpf_ipython.limits import Limit, limit_of, parse_limit, strip_header


@pytest.mark.parametrize(
    ("line", "limit"),
    [
        ("500ms", Limit(0.5)),
        ("2 h", Limit(7200)),
        ("1m30s --cpu", Limit(90, None, True)),
        ("--cpu 1s", Limit(1, None, True)),
        ("1s --on-timeout pause", Limit(1, "pause")),
        ("1s --on-timeout=cancel", Limit(1, "cancel")),
        ("1s --on-timeout 'cancel'", Limit(1, "cancel")),
    ],
)
def test_a_header_is_understood(line: str, limit: Limit) -> None:
    assert parse_limit(line) == limit


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("", "no LIMIT"),
        ("--cpu", "no LIMIT"),
        ("soon", "not a duration"),
        ("-3s", "negative"),
        ("0", "longer than zero"),
        ("nan", "not a duration"),
        ("1s --on-timeout", "pause or cancel"),
        ("1s --on-timeout=later", "pause or cancel, not 'later'"),
        ("1s --speed", "no option --speed"),
        ("1s --cpu=yes", "no option --cpu"),
        ("1s 'open", "no closing quotation"),
    ],
)
def test_an_odd_header_is_refused_with_the_usage_on_one_line(line: str, why: str) -> None:
    with pytest.raises(UsageError, match=why) as caught:
        parse_limit(line)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith("%%timeout LIMIT [--on-timeout pause|cancel] [--cpu]")


@pytest.mark.parametrize(
    ("cell", "rest"),
    [
        ("%%timeout 1s\nx = 1\nx", "\nx = 1\nx"),
        ("%%timeout\t1s\nx = 1", "\nx = 1"),
        ("\n\n%%timeout 1s\nx = 1", "\n\n\nx = 1"),
        ("%%timeout 1s\n\n%%capture out\nx = 1", "%%capture out\nx = 1"),
        ("%%timeout 1s\n%%timeout 2s\nx = 1", "%%timeout 2s\nx = 1"),
    ],
)
def test_a_header_is_taken_off_and_lines_keep_their_numbers(cell: str, rest: str) -> None:
    assert limit_of(cell) == Limit(1)
    assert "".join(strip_header(cell.splitlines(keepends=True))) == rest


@pytest.mark.parametrize(
    "cell",
    [
        "",
        "\n",
        "x = 1",
        "%%timeout",
        "%%timeout 1s",
        "%%timeout 1s\n  \n",
        "%%timeout soon\nx = 1",
        "%%timeout {limit}\nx = 1",
        "%%timeout?",
        "%%timeouts 1s\nx = 1",
        "x = 1\n%%timeout 1s\ny = 2",
        "%timeout 1s\nx = 1",
    ],
)
def test_any_other_cell_is_left_alone(cell: str) -> None:
    lines = cell.splitlines(keepends=True)
    assert limit_of(cell) is None
    assert strip_header(lines) == lines
