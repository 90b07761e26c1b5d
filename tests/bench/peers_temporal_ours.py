"""Worker of the temporal comparison: BatchGNN's `--mode temporal`, on the ranks that there are."""

import time
from itertools import count
from pathlib import Path

from peers_ours import joined, told
from peers_worker import Tally, TemporalTask, answer, peak_rss_bytes, say

from batchgnn.modes.assembly import settings_of
from batchgnn.modes.open import make_mode
from batchgnn.modes.share import Share
from batchgnn.run.session import open_session


def steps_of(mode):
    """Steps of epoch after epoch."""
    for epoch in count():
        yield from mode.epoch(epoch)


def serve(share: Share) -> None:
    """Train on command until the first rank's input ends."""
    world, going = share.grid.world, steps_of(make_mode(share))
    if share.is_first:
        say(ready=True, ranks=world.size, threads=share.threads, peak_rss_bytes=peak_rss_bytes())
    while steps := told(world):
        tally, begin = Tally(), time.perf_counter()
        for _ in range(steps):
            result = next(going)
            tally.add(loss=result.loss_sum, num_seeds=result.num_seeds)
        mine = answer(tally, time.perf_counter() - begin, steps)
        said = world.gather({**mine, "peak_rss_bytes": peak_rss_bytes()})
        if share.is_first:
            say(**joined(said))


def main() -> None:
    """Open the shards and serve."""
    task = TemporalTask.from_arguments()
    settings = settings_of(
        mode="temporal",
        batch_size=task.batch,
        recent=task.recent,
        lr=task.learning_rate,
        threads=task.threads,
        state_width=task.hidden,
        time_width=task.hidden,
        **(task.options or {}),
    )
    with open_session(Path(task.shards), settings) as share:
        serve(share)


if __name__ == "__main__":
    main()
