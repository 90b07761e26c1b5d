"""Numbering by dictionaries and lists; functions return their result."""


def find_or_add(ident, table, new_row):
    """A dictionary's setdefault."""
    return table.setdefault(int(ident), new_row)


def relabel(neighbors, ids):
    """(ids, indices): rows in the order of first appearance, after `ids`."""
    table = {int(v): row for row, v in enumerate(ids)}
    indices = [find_or_add(v, table, len(table)) for v in neighbors]
    return list(table), indices


def relabel_blocks(lists):
    """`relabel` of each block's (neighbors, ids)."""
    return [relabel(neighbors, ids) for neighbors, ids in lists]


def place_rows(ids, owner, local_row, me):
    """(distinct remote ids, rows): an own row, or -1 - place among the remote ids."""
    remote = list(dict.fromkeys(int(v) for v, p in zip(ids, owner, strict=True) if p != me))
    rows = [
        row if p == me else -1 - remote.index(int(v))
        for v, p, row in zip(ids, owner, local_row, strict=True)
    ]
    return remote, rows


def renumber_fetched(rows, place):
    """Negative rows through `place`."""
    return [r if r >= 0 else -1 - place[-1 - r] for r in rows]
