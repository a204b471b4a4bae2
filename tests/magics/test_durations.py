"""Durations are read as people write them, refused in one line, and shown short."""

from __future__ import annotations

import math

import pytest

from lpf_ipython import durations


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("1m30s", 90),
        ("2h", 7200),
        ("100us", 1e-4),
        ("100µs", 1e-4),
        ("100μs", 1e-4),
        ("0.25", 0.25),
        (".5s", 0.5),
        ("1.5 min", 90),
        ("1h 30 min", 5400),
        (" 5 S ", 5),
        ("1e3", 1000),
        ("1e-3s", 1e-3),
        ("1d", 86400),
    ],
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert durations.parse(text) == seconds


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not a duration"),
        ("   ", "not a duration"),
        ("soon", "not a duration"),
        ("5 parsecs", "no unit 'parsecs'"),
        ("1:30", "not a duration"),
        ("1m30", "not a duration"),
        ("1s1s", "larger one first"),
        ("1s1m", "larger one first"),
        ("1_000", "not a duration"),
        ("nan", "not a duration"),
        ("inf", "not a duration"),
        ("-inf", "not a duration"),
        ("1e400s", "not a duration"),
        ("-3", "negative"),
        ("-3s", "negative"),
        ("0", "longer than zero"),
        ("0ms", "longer than zero"),
        ("-0", "longer than zero"),
        ("x" * 1000, "not a duration"),
        ("a\nb", "not a duration"),
    ],
)
def test_what_is_not_a_duration_is_refused_in_one_line(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        durations.parse(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 120


def test_zero_is_a_duration_where_it_is_allowed() -> None:
    assert durations.parse("0", allow_zero=True) == 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (50e-6, "50 us"),
        (0.0009996, "1 ms"),
        (0.5, "500 ms"),
        (0.50349, "503 ms"),
        (1.25, "1.25 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min"),
        (90, "1 min 30 s"),
        (3599.6, "1 h"),
        (7500, "2 h 5 min"),
        (90000, "1 d 1 h"),
        (math.inf, "no limit"),
        (-1.5, "-1.5 s"),
    ],
)
def test_a_duration_is_shown(seconds: float, text: str) -> None:
    assert durations.show(seconds) == text


@pytest.mark.parametrize("seconds", [1e-5, 0.5, 1.25, 61, 3660, 90000])
def test_what_is_shown_can_be_read_again(seconds: float) -> None:
    assert durations.parse(durations.show(seconds)) == seconds
