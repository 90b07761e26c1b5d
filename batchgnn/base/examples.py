"""Lines to type, which `--help` of each command ends with."""

EXAMPLES: dict[str, tuple[str, ...]] = {
    "": ("batchgnn demo", "batchgnn train --help"),
    "demo": ("batchgnn demo", "batchgnn demo --folder trial"),
    "data": (
        "batchgnn data generate digits graph.h5",
        "batchgnn data convert edges edges.csv graph.h5",
    ),
    "data generate": ("batchgnn data generate communities graph.h5",),
    "data generate communities": ("batchgnn data generate communities graph.h5",),
    "data generate rmat": ("batchgnn data generate rmat graph.h5",),
    "data generate grid": ("batchgnn data generate grid graph.h5",),
    "data generate digits": ("batchgnn data generate digits graph.h5",),
    "data generate events": ("batchgnn data generate events stream.h5",),
    "data convert": ("batchgnn data convert npz graph.npz graph.h5",),
    "data convert npz": ("batchgnn data convert npz graph.npz graph.h5",),
    "data convert npy": ("batchgnn data convert npy igb_tiny graph.h5 --label node_label_19",),
    "data convert edges": (
        "batchgnn data convert edges edges.csv graph.h5",
        "batchgnn data convert edges edges graph.h5 --vertices vertices.csv",
    ),
    "data convert ogb": ("batchgnn data convert ogb ogbn_arxiv graph.h5",),
    "data convert events": ("batchgnn data convert events events.csv stream.h5",),
    "partition": (
        "batchgnn partition graph.h5 shards --shards 8",
        "batchgnn partition graph.h5 shards --shards 8 --dry-run",
    ),
    "inspect": ("batchgnn inspect graph.h5", "batchgnn inspect shards"),
    "verify": ("batchgnn verify shards",),
    "launch": ("batchgnn launch -n 4 -- train shards --run run",),
    "slurm": ("batchgnn slurm submit folder --config pipeline.toml",),
    "slurm write": ("batchgnn slurm write folder --config pipeline.toml",),
    "slurm submit": (
        "batchgnn slurm submit folder --config pipeline.toml",
        "batchgnn slurm submit folder --dry-run",
    ),
    "status": ("batchgnn status run",),
    "cancel": ("batchgnn cancel run", "batchgnn cancel run --now"),
    "plan": (
        "batchgnn plan shards --ranks 8",
        "batchgnn launch -n 8 -- plan shards --calibrate",
    ),
    "train": (
        "batchgnn train shards --run run --model sage --epochs 20",
        "batchgnn launch -n 4 -- train shards --run run",
        "batchgnn train shards --run run --resume",
    ),
    "evaluate": ("batchgnn evaluate run", "batchgnn evaluate run --split val"),
    "predict": ("batchgnn predict run predictions.h5",),
    "export": ("batchgnn export run model.safetensors",),
    "report": (
        "batchgnn report run",
        "batchgnn report run-1 run-2 --out both.html",
    ),
    "doctor": ("batchgnn doctor", "batchgnn launch -n 4 -- doctor"),
    "completion": ("batchgnn completion bash",),
}
"The words of a command after `batchgnn`: what may be typed."


def ending(command: str, about: str = "") -> str:
    """What the help of a command ends with: `about`, then its examples, as Markdown."""
    title = "Example:" if len(EXAMPLES[command]) == 1 else "Examples:"
    lines = (f"- `{each}`" for each in EXAMPLES[command])
    return "\n".join([about.strip(), "", title, "", *lines]).strip()
