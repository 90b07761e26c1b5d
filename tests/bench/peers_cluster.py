"""DistDGL on one machine: `peers_cluster.py PYTHON PARTITIONS PARTS ENGINE TASK`.

DGL's launcher wants ssh and a host for each part. Here a part's "host" is an address of the
loopback interface and a mount namespace with a /dev/shm of its own, because servers name their
shared memory after the graph. On each there is one server and one trainer. The first trainer's
input and output are this program's. ENGINE is dgl or graphbolt.
"""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

SCRIPT = str(Path(__file__).resolve().parent / "peers_distdgl.py")
NAMESPACE = ["unshare", "--mount", *(["--map-root-user"] if os.getuid() else [])]


def start_hosts(python: str, partitions: str, parts: str, engine: str, task: str) -> int:
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
    addresses = [f"127.0.0.{i + 1}" for i in range(int(parts))]
    ip_config = folder / "ip_config.txt"
    ip_config.write_text("".join(f"{a} {_free_port(a)}\n" for a in addresses))
    environment = os.environ | {
        "DGL_IP_CONFIG": str(ip_config),
        "DGL_CONF_PATH": str(folder / "communities.json"),
        "DGL_NUM_SERVER": "1",
        "DGL_NUM_CLIENT": parts,
        "DGL_NUM_SAMPLER": "0",
        "DGL_DIST_MODE": "distributed",
        "DGL_GRAPH_FORMAT": "csc",
        "MASTER_ADDR": addresses[0],
        "MASTER_PORT": str(_free_port(addresses[0])),
    }
    hosts = []
    for rank, address in enumerate(addresses):
        command = [*NAMESPACE, sys.executable, __file__, "host", python, str(rank), parts, engine,
                   address, task]  # fmt: skip
        stdin = None if rank == 0 else subprocess.DEVNULL
        hosts.append(subprocess.Popen(command, env=environment, stdin=stdin))
    return max(host.wait() for host in hosts)


def be_host(python: str, rank: str, parts: str, engine: str, address: str, task: str) -> int:
    """One host, in its own mount namespace: a server, and a trainer until it ends."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=90%", "tmpfs", "/dev/shm"], check=True)
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


def _free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        return probe.getsockname()[1]


if __name__ == "__main__":
    if sys.argv[1] == "host":
        sys.exit(be_host(*sys.argv[2:]))
    sys.exit(start_hosts(*sys.argv[1:]))
