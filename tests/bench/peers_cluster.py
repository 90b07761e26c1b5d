"""DistDGL on one machine: `peers_cluster.py PYTHON PARTITIONS PARTS ENGINE CLUSTER TASK`.

DGL's launcher wants ssh and a host for each part. Here a part's host is one of the emulated
CLUSTER (its state folder); or, where that is empty, an address of the loopback interface and a
mount namespace with a /dev/shm of its own, because servers name their shared memory after the
graph. On each there is one server and one trainer. The first trainer's input and output are this
program's. ENGINE is dgl or graphbolt.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent)]

from cluster.hosts import Cluster  # noqa: E402

SCRIPT = str(HERE / "peers_distdgl.py")
NAMESPACE = ["unshare", "--mount", *(["--map-root-user"] if os.getuid() else [])]
PRIVATE = 'mount -t tmpfs -o size=90% tmpfs /dev/shm && exec "$@"'
FREE_PORT = (
    "import socket, sys; s = socket.socket(); s.bind((sys.argv[1], 0)); print(s.getsockname()[1])"
)


def start_hosts(
    python: str, partitions: str, parts: str, engine: str, cluster: str, task: str
) -> int:
    """Cut the graph where that was not done, start all hosts, wait for them."""
    folder = Path(partitions)
    if not folder.exists():
        command = [
            python,
            SCRIPT,
            "partition",
            json.loads(task)["graph"],
            partitions,
            parts,
            engine,
        ]
        subprocess.run(command, check=True, stdout=sys.stderr)
    hosts = places(int(parts), cluster)
    ports = {a: _free_port(a, enter) for a, enter in hosts.items()}
    ip_config = folder / "ip_config.txt"
    ip_config.write_text("".join(f"{a} {port}\n" for a, port in ports.items()))
    environment = os.environ | {
        "DGL_IP_CONFIG": str(ip_config),
        "DGL_CONF_PATH": str(folder / "communities.json"),
        "DGL_NUM_SERVER": "1",
        "DGL_NUM_CLIENT": parts,
        "DGL_NUM_SAMPLER": "0",
        "DGL_DIST_MODE": "distributed",
        "DGL_GRAPH_FORMAT": "csc",
        "MASTER_ADDR": next(iter(hosts)),
        "MASTER_PORT": str(_free_port(*next(iter(hosts.items())))),
    }
    running = []
    for rank, (address, enter) in enumerate(hosts.items()):
        command = [*enter, sys.executable, __file__, "host", python, str(rank), parts, engine,
                   address, task]  # fmt: skip
        stdin = None if rank == 0 else subprocess.DEVNULL
        running.append(subprocess.Popen(command, env=environment, stdin=stdin))
    return max(host.wait() for host in running)


def places(parts: int, cluster: str) -> dict[str, list[str]]:
    """The address of each host, and what a command begins with to run there."""
    if cluster:
        hosts = list(Cluster.load(Path(cluster)).hosts.values())[:parts]
        return {host.address: host.argv([], str(HERE)) for host in hosts}
    private = [*NAMESPACE, "sh", "-c", PRIVATE, "sh"]
    return {f"127.0.0.{i + 1}": private for i in range(parts)}


def be_host(python: str, rank: str, parts: str, engine: str, address: str, task: str) -> int:
    """One host: a server, and a trainer until it ends."""
    server = subprocess.Popen(
        [python, SCRIPT, "serve", engine],
        env=os.environ | {"DGL_ROLE": "server", "DGL_SERVER_ID": rank},
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
    )
    trainer = [python, SCRIPT, "train", rank, parts, engine, address, task]
    status = subprocess.run(trainer, env=os.environ | {"DGL_ROLE": "client"}).returncode
    if status:
        server.kill()
    return status or server.wait()


def _free_port(address: str, enter: list[str]) -> int:
    command = [*enter, sys.executable, "-c", FREE_PORT, address]
    return int(subprocess.run(command, check=True, capture_output=True).stdout)


if __name__ == "__main__":
    if sys.argv[1] == "host":
        sys.exit(be_host(*sys.argv[2:]))
    sys.exit(start_hosts(*sys.argv[1:]))
