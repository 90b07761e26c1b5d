"""Random streams of events: Zipf degrees, partners that come back, popularity that drifts."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from batchgnn.base.errors import ConfigError
from batchgnn.base.progress import progress
from batchgnn.base.rng import Purpose
from batchgnn.data.convert import Report
from batchgnn.data.convert_events import counted, lines
from batchgnn.data.event_options import DEFAULT_SHARES, check_shares
from batchgnn.data.generate import CHUNK_ITEMS, MAX_VERTICES
from batchgnn.kernels.generate import fill_normal
from batchgnn.kernels.rng import fill_draws, stream_key
from batchgnn.kernels.stream import StreamShape, event_ends
from batchgnn.store.event_writer import StreamSpec, write_events
from batchgnn.store.events import FEATURES, SOURCE, TARGET, TIME, EventSpec

NUM_KEYS, FEATURE, WHEN = 5, 5, 6
"Uses of randomness beside those of `kernels.stream.event_ends`."


@dataclass(frozen=True, kw_only=True)
class StreamOptions:
    """Options of `generate events`."""

    vertices: int = 10_000
    "Number of vertices."

    sources: int = 0
    "How many of them are sources only, such as users of items; 0: every vertex may be both."

    events: int = 100_000
    "Number of events."

    features: int = 0
    "Columns of the events' features, standard normal noise."

    exponent: float = 0.9
    "Of Zipf's law for degrees: 0 is even, higher is more skewed; below 3, and not 1."

    repeat: float = 0.6
    "Share of the events that go to one of four partners of their source."

    eras: int = 4
    "How often popularity and partners change along the stream."

    span: int = 1_000_000
    "Time from the first event to the last, in whole numbers; below the events, times are equal."

    split: tuple[float, float, float] = DEFAULT_SHARES
    "Shares of train, validation and test, by time."

    seed: int = 0
    "Seed of everything that is drawn; the same seed gives the same file."

    def check(self) -> None:
        """Raise ConfigError when an option cannot be."""
        check_shares(self.split)
        needs = (
            (2 <= self.vertices <= MAX_VERTICES, "--vertices", f"2 to {MAX_VERTICES:,}"),
            (0 <= self.sources < self.vertices, "--sources", "0, or fewer than --vertices"),
            (1 <= self.events < 2**40, "--events", "1 or more"),
            (self.features >= 0, "--features", "0 or more"),
            (0 <= self.exponent < 3 and self.exponent != 1, "--exponent", "0 to 3, not 1"),
            (0 <= self.repeat <= 1, "--repeat", "0 to 1"),
            (1 <= self.eras <= 1000, "--eras", "1 to 1000"),
            (0 <= self.span < 2**62, "--span", "0 to 2^62"),
            (0 <= self.seed < 2**63, "--seed", "0 to 2^63 - 1"),
        )
        for good, option, wanted in needs:
            if not good:
                found = getattr(self, option.removeprefix("--"))
                raise ConfigError(f"{option} {found}: needed {wanted}")

    def key(self, use: int) -> np.uint64:
        """The key of one use of randomness."""
        return np.uint64(stream_key(self.seed, Purpose.GENERATE, 1, 0, use))


def generate_events(
    out: str | os.PathLike, options: StreamOptions, *, chunk: int = CHUNK_ITEMS, show: bool = True
) -> Report:
    """Write a stream to the graph store `out`, in bounded memory, the same for any chunk.

    Raises ConfigError for options that cannot be, StoreError when `out` exists.
    """
    options.check()
    spec = StreamSpec(
        name="events",
        num_vertices=options.vertices,
        events=EventSpec(num_features=options.features),
        shares=options.split,
        licence="generated",
    )
    with write_events(out, spec) as writer:
        with progress("events", options.events, "events", show=show) as bar:
            for columns in parts(options, chunk):
                writer.append(columns)
                bar.advance(len(columns[TIME]))
        writer.finish()
        taken = counted(writer)
        writer.keep(taken)
        return Report(Path(out), tuple(lines(writer, taken)))


def parts(options: StreamOptions, chunk: int) -> Iterator[dict[str, np.ndarray]]:
    """The columns of the stream, in chunks."""
    n, users = options.vertices, options.sources
    shape = StreamShape(
        num_sources=users or n,
        num_targets=n - users,
        num_events=options.events,
        exponent=options.exponent,
        repeat=options.repeat,
        eras=options.eras,
    )
    keys = np.array([options.key(use) for use in range(NUM_KEYS)], np.uint64)
    step = max(chunk // max(options.features, 1), 1)
    for first in range(0, options.events, step):
        count = min(step, options.events - first)
        source, target = np.empty(count, np.int64), np.empty(count, np.int64)
        event_ends(keys, first, shape, source, target)
        columns = {SOURCE: source, TARGET: users + target, TIME: times(options, first, count)}
        if options.features:
            columns[FEATURES] = np.empty((count, options.features), np.float32)
            fill_normal(options.key(FEATURE), first, columns[FEATURES])
        yield columns


def times(options: StreamOptions, first: int, count: int) -> np.ndarray:
    """int64 (count,): ascending, at random within steps of equal length."""
    events = np.arange(first, first + count, dtype=np.int64)
    bits = np.empty(count, np.uint64)
    fill_draws(options.key(WHEN), events.view(np.uint64), bits)
    jitter = (bits >> np.uint64(11)) * 2.0**-53
    return ((events + jitter) * (options.span / options.events)).astype(np.int64)
