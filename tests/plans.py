"""Memory plans of runs that have ended, beside what their ranks held."""

from types import SimpleNamespace
from typing import NamedTuple

from jobs import metrics

from batchgnn.base.bytes import MemoryPlan
from batchgnn.modes.assembly import mode_of, task_of
from batchgnn.modes.inputs import store_as_read
from batchgnn.modes.open import build_model, plan_memory
from batchgnn.modes.share import Share
from batchgnn.run.folder import RunFolder
from batchgnn.settings.general import Features
from batchgnn.store.own_shards import OwnShards
from batchgnn.store.shard_store import ShardStore


def peaks(run):
    """Peak bytes of every rank after each epoch."""
    return [line["peak_memory_bytes"] for line in metrics(run)]


class Planned(NamedTuple):
    """A rank's plan, the bytes of the shard files that it maps, and what it held at most."""

    plan: MemoryPlan
    mapped: int
    peak: int

    @property
    def ratio(self):
        """Planned over measured; the peak counts mapped pages too."""
        return (self.plan.total + self.mapped) / self.peak

    def __str__(self):
        parts = {name: f"{size / 2**20:.0f}" for name, size in self.plan.parts.items() if size}
        sizes = (self.plan.total, self.mapped, self.peak)
        total, mapped, peak = (f"{size / 2**20:6.0f}" for size in sizes)
        return f"{self.ratio:.2f}: {total} + {mapped} mapped for {peak} MiB; {parts}"


def planned(run, num_ranks):
    """Of every rank, `Planned`."""
    shards, settings = RunFolder(run).shards_and_settings()
    store, held = ShardStore(shards), peaks(run)[-1]
    sizes = [store.shard_path(s).stat().st_size for s in range(store.manifest.num_shards)]
    dealt = mode_of(settings).deal(store, num_ranks, settings)
    task = task_of(settings).make(settings)
    model = build_model(store.manifest, settings, task)
    for rank in range(num_ranks):
        grid = SimpleNamespace(rank=rank, size=num_ranks, node_size=num_ranks, lost=())
        rows = settings[Features]
        read = store_as_read(dealt.view(store), settings)
        own = OwnShards(read, dealt.ownership, rank, rows.feature_dtype)
        own.features_in_memory = mode_of(settings).random_rows and rows.features != "mapped"
        share = Share(grid, own.manifest, own, settings, model, task, threads=1)
        mapped = sizes if dealt.every_shard else [sizes[s] for s in own.shards]
        yield Planned(plan_memory(share.extent()), sum(mapped), held[rank])
