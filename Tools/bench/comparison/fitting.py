"""What a curve's points say in a sentence."""

from __future__ import annotations

Points = list[tuple[float, float]]


def line(points: Points) -> tuple[float, float]:
    """(value at 0, slope) of the straight line nearest to the points."""
    count = len(points)
    mean_x = sum(x for x, _ in points) / count
    mean_y = sum(y for _, y in points) / count
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0
    return mean_y - slope * mean_x, slope


def prefill_sentence(side: str, rates: Points) -> str:
    """`rates`: tokens and tokens a second."""
    best_length, best = max(rates, key=lambda point: point[1])
    good = [length for length, rate in rates if rate >= 0.9 * best]
    text = f"{side} is fastest at {best_length:,.0f} tokens ({best:.1f} a second)"
    if len(good) == len(rates):
        return text + " and stays within a tenth of that everywhere."
    return text + f" and within a tenth of that from {min(good):,.0f} to {max(good):,.0f}."


def decode_sentence(side: str, rates: Points) -> str:
    """`rates`: depth and tokens a second."""
    start, slope = line([(depth, 1000 / rate) for depth, rate in rates])
    if slope <= 0:
        return f"{side} takes {start:.0f} ms a token, whatever stands before it."
    return (
        f"{side} takes {start:.0f} ms a token and {1000 * slope:.1f} ms more for every 1,000 rows before it: "
        f"half as fast after {start / slope:,.0f} rows."
    )


def threads_sentence(side: str, rates: Points) -> str:
    """`rates`: threads and tokens a second."""
    (few, slow), (many, fast) = rates[0], rates[-1]
    if few == many:
        return ""
    return f"{side} is {fast / slow:.2f} times as fast on {many:.0f} threads as on {few:.0f}."


def convert_sentence(side: str, times: Points) -> str:
    """`times`: GB and seconds."""
    if len(times) < 2 or times[-1][0] < 1.1 * times[0][0]:
        return ""
    slopes = [(y1 - y0) / (x1 - x0) for (x0, y0), (x1, y1) in zip(times, times[1:])]
    text = f"{side} takes {line(times)[1]:.1f} s a GB"
    for (size, _), before, after in zip(times[1:], slopes, slopes[1:]):
        if after > 1.3 * before > 0:
            return text + f"; the line bends upwards at {size:.1f} GB, from {before:.1f} to {after:.1f}."
    return text + ", along a straight line."
