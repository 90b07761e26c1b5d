"""One process of DistDGL 2.1: `peers_distdgl.py partition|serve|train ... TASK`.

    partition GRAPH FOLDER PARTS ENGINE   cut the graph with DGL's METIS
    serve                                 a graph server, as the variables DGL_* say
    train RANK PARTS ENGINE ADDRESS TASK  a trainer; the first one talks with the driver

ENGINE is dgl or graphbolt. peers_cluster.py starts them. Every trainer samples in its own process,
which was the fastest way with one core for each.
"""

import itertools
import os
import shutil
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import dgl
import numpy as np
import torch
import torch.distributed as dist
from peers_torch import Sage
from peers_worker import Tally, Task, answer, peak_rss_bytes, say
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

NAME = "communities"
PATIENCE = timedelta(days=1)


def partition(graph: str, folder: str, parts: str, engine: str) -> None:
    """Cut the graph as DGL's examples do: METIS, training vertices and edges balanced."""
    arrays = {p.stem: torch.from_numpy(np.load(p)) for p in Path(graph).glob("*.npy")}
    csc = arrays["indptr"], arrays["indices"].long(), torch.empty(0, dtype=torch.int64)
    g = dgl.graph(("csc", csc), num_nodes=len(arrays["label"]))
    mask = torch.zeros(g.num_nodes(), dtype=torch.bool)
    mask[arrays["train"]] = True
    g.ndata.update(features=arrays["features"], label=arrays["label"], train_mask=mask)
    beside = Path(f"{folder}.part")
    shutil.rmtree(beside, ignore_errors=True)
    dgl.distributed.partition_graph(
        g, NAME, int(parts), str(beside), part_method="metis", balance_ntypes=mask,
        balance_edges=True, graph_formats=["csc"], use_graphbolt=engine == "graphbolt",
    )  # fmt: skip
    beside.rename(folder)


def serve(engine: str) -> None:
    """Serve a part of the graph until all trainers have ended."""
    dgl.distributed.initialize(os.environ["DGL_IP_CONFIG"], use_graphbolt=engine == "graphbolt")


def train(rank: str, parts: str, engine: str, address: str) -> None:
    """Train on command."""
    task = Task.from_arguments()
    torch.set_num_threads(task.threads)
    # All machines are this one: the first interface would name the first part's for each.
    dgl.distributed.rpc_client.local_ip4_addr_list = lambda: {address}
    dgl.distributed.initialize(os.environ["DGL_IP_CONFIG"], use_graphbolt=engine == "graphbolt")
    dist.init_process_group("gloo", rank=int(rank), world_size=int(parts), timeout=PATIENCE)
    g = dgl.distributed.DistGraph(NAME, part_config=os.environ["DGL_CONF_PATH"])
    batches = _batches(g, task)
    num_classes = int(g.ndata["label"][np.arange(g.num_nodes())].max()) + 1
    width = g.ndata["features"].shape[1]
    model = DistributedDataParallel(Sage(width, task.hidden, num_classes, len(task.fanouts)))
    optimizer = torch.optim.Adam(model.parameters(), lr=task.learning_rate)

    def steps_of(count: int, tally: Tally) -> None:
        for _ in range(count):
            with tally.phase("sample"):
                inputs, seeds, blocks = next(batches)
            tally.add(edges=sum(b.num_edges() for b in blocks), input_rows=len(inputs))
            with tally.phase("gather"):
                x, y = g.ndata["features"][inputs], g.ndata["label"][seeds]
            with tally.phase("forward"):
                loss = cross_entropy(model(blocks, x), y)
            with tally.phase("backward"):  # with DDP's all-reduce
                optimizer.zero_grad()
                loss.backward()
            with tally.phase("update"):
                optimizer.step()
            tally.add(loss=loss.item() / int(parts), num_seeds=len(seeds))

    _serve_driver(steps_of)


def _batches(g, task: Task) -> Iterator[tuple]:
    """Endless minibatches; the batch is over all trainers."""
    book = g.get_partition_book()
    seeds = dgl.distributed.node_split(g.ndata["train_mask"], book, force_even=True)
    loader = dgl.dataloading.DistNodeDataLoader(
        g,
        seeds,
        dgl.dataloading.NeighborSampler(task.fanouts[::-1]),
        batch_size=task.batch // dist.get_world_size(),
        shuffle=True,
        drop_last=True,
    )
    return itertools.chain.from_iterable(itertools.repeat(loader))


def _serve_driver(steps_of) -> None:
    """As peers_worker.serve, for all trainers: the first one reads and writes."""
    first = dist.get_rank() == 0
    if first:
        say(ready=True, peak_rss_bytes=peak_rss_bytes())
    while count := _told(first):
        tally = Tally()
        begin = time.perf_counter()
        steps_of(count, tally)
        mine = answer(tally, time.perf_counter() - begin, count) | {
            "peak_rss_bytes": peak_rss_bytes()
        }
        ranks: list = [None] * dist.get_world_size()
        dist.all_gather_object(ranks, mine)
        if first:
            say(**_joined(ranks))


def _told(first: bool) -> int:
    """Steps that the driver wants, on every trainer; 0 at the end."""
    told = torch.tensor(int(sys.stdin.readline() or 0) if first else 0)
    dist.broadcast(told, 0)
    return int(told)


def _joined(ranks: list[dict]) -> dict:
    """The slowest trainer's seconds and phases, the sums of everything else."""
    phases = {name: max(r["phases"][name] for r in ranks) for name in ranks[0]["phases"]}
    joined = {name: sum(r[name] for r in ranks) for name in ranks[0] if name != "phases"}
    return {**joined, "seconds": max(r["seconds"] for r in ranks), "phases": phases}


if __name__ == "__main__":
    if sys.argv[1] == "partition":
        partition(*sys.argv[2:6])
    elif sys.argv[1] == "serve":
        serve(sys.argv[2])
    else:
        train(*sys.argv[2:6])
