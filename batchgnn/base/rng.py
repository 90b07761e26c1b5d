"""What random draws are for. DESIGN section 4: randomness belongs to the problem, not the process.

A draw is `kernels.rng.draw(stream_key(seed, purpose, epoch, step, layer), id)`: a vertex gets the
same number on any rank, with any number of threads, and after a resume.
"""

from enum import IntEnum


class Purpose(IntEnum):
    """What a random number is for; two purposes never share a stream."""

    WEIGHTS = 1
    SHUFFLE = 2
    SAMPLE = 3
    DROPOUT = 4
    ATTENTION_DROPOUT = 5
    NEGATIVES = 6
    SPLIT = 7
    PARTITION = 8
    GENERATE = 9
    LINK_SPLIT = 10
    LINK_SOURCE = 11
    SCORING = 12
    INPUT_ROWS = 13
    TRAINERS = 14
