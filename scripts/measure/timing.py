"""Times of training steps taken in turn, and their ratios.

Needs nothing but Python, so that it can travel to GPU machines.
"""

import statistics

WARM_UP_STEPS = 5  # before anything is timed


def compared(wall_ms, processor_ms, baseline_ms):
    """Milliseconds per step, medians of the rounds, and the speed-up.

    baseline_ms: wall times of what it is held against in the same rounds; each
    round has a ratio, since a slow machine slows down both.
    """
    ratios = [theirs / ours for theirs, ours in zip(baseline_ms, wall_ms)]
    return {
        "wall_ms": statistics.median(wall_ms),
        "wall_ms_all": wall_ms,
        "processor_ms": statistics.median(processor_ms),
        "speed_up": statistics.median(ratios),
        "speed_up_min": min(ratios),
        "speed_up_max": max(ratios),
    }
