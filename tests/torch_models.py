"""PyTorch Geometric's layers with exported weights, for tests of parity; needs torch."""

import torch
import torch_geometric.nn as pyg


def pyg_module(state, kind):
    """PyG's layers, of the sizes that the exported state has, with its weights."""
    convs, norms = torch.nn.ModuleList(), torch.nn.ModuleList()
    while any(name.startswith(f"convs.{len(convs)}.") for name in state):
        mine = f"convs.{len(convs)}."
        sizes = {n.removeprefix(mine): v.shape for n, v in state.items() if n.startswith(mine)}
        convs.append(pyg_conv(kind, sizes))
    while f"norms.{len(norms)}.weight" in state:
        width = len(state[f"norms.{len(norms)}.weight"])
        norms.append(pyg.LayerNorm(width, mode="node"))
    while f"norms.{len(norms)}.module.weight" in state:
        norms.append(pyg.BatchNorm(len(state[f"norms.{len(norms)}.module.weight"])).eval())
    module = torch.nn.ModuleDict({"convs": convs, "norms": norms})
    mine = {name: torch.from_numpy(v) for name, v in state.items() if not is_of_decoder(name)}
    module.load_state_dict(mine, strict=True)
    return module


def is_of_decoder(name):
    """Whether an exported weight reads links from embeddings."""
    return name.startswith("decoder.")


def pair_scores(state, z, source, target):
    """Of pairs of rows, by the decoder whose weights the state has."""
    product = z[source] * z[target]
    p = {
        n.removeprefix("decoder."): torch.from_numpy(v)
        for n, v in state.items()
        if is_of_decoder(n)
    }
    if "W" in p:
        hidden = torch.nn.functional.linear(product, p["W"], p["b"]).relu()
        return torch.nn.functional.linear(hidden, p["w"][None], p["c"])[:, 0]
    return (product * p["w"] if p else product).sum(dim=1)


def pyg_conv(kind, sizes):
    if kind == "sage":
        return pyg.SAGEConv(*reversed(sizes["lin_l.weight"]))
    if kind == "gcn":
        return pyg.GCNConv(*reversed(sizes["lin.weight"]))
    if kind == "gat":
        _, heads, width = sizes["att_src"]
        return pyg.GATConv(sizes["lin.weight"][1], width, heads)
    first, second = (torch.nn.Linear(*reversed(sizes[f"nn.{k}.weight"])) for k in (0, 2))
    return pyg.GINConv(torch.nn.Sequential(first, torch.nn.ReLU(), second))


def pyg_logits(module, kind, x, edge_index, edge_weight=None):
    last = len(module["convs"]) - 1
    extra = () if edge_weight is None else (edge_weight,)
    for n, conv in enumerate(module["convs"]):
        x = conv(x, edge_index, *extra)
        if n < last:
            x = module["norms"][n](x) if len(module["norms"]) else x
            x = torch.nn.functional.elu(x) if kind == "gat" else torch.relu(x)
    return x


def pyg_gcnii(state, spec):
    """The modules of PyG's example of GCN2Conv, with the exported weights."""
    hidden = spec.hidden
    kind = {"alpha": spec.alpha, "theta": spec.theta, "shared_weights": True}
    convs = [pyg.GCN2Conv(hidden, layer=n + 1, **kind) for n in range(spec.layers)]
    ends = [state["lins.0.weight"].shape, state["lins.1.weight"].shape]
    lins = [torch.nn.Linear(d_in, d_out) for d_out, d_in in ends]
    parts = {"convs": torch.nn.ModuleList(convs), "lins": torch.nn.ModuleList(lins)}
    module = torch.nn.ModuleDict(parts)
    module.load_state_dict({name: torch.from_numpy(v) for name, v in state.items()}, strict=True)
    return module


def pyg_gcnii_logits(module, x, edge_index):
    x = initial = torch.relu(module["lins"][0](x))
    for conv in module["convs"]:
        x = torch.relu(conv(x, initial, edge_index))
    return module["lins"][1](x)
