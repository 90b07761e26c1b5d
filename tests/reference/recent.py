"""Recent neighbours and states, by sets and lists."""


def recent_neighbors(indptr, other, event, vertex, before, out_other, out_event):
    out_other[:], out_event[:] = -1, -1
    for r, (v, bound) in enumerate(zip(vertex, before, strict=True)):
        entries = range(indptr[v], indptr[v + 1])
        past = [place for place in entries if event[place] < bound][::-1]
        for k, place in enumerate(past[: out_other.shape[1]]):
            out_other[r, k], out_event[r, k] = other[place], event[place]


def place_states(vertex, other, mail, slot, root_row, neighbor_row, member):
    order = [-1]

    def row_of(v):
        if v < 0:
            return -1
        if mail[v] < 0:
            return 0
        if v not in order:
            order.append(v)
        return order.index(v)

    root_row[:] = [row_of(v) for v in vertex]
    num_roots = len(order)
    neighbor_row[:] = [[row_of(v) for v in row] for row in other]
    member[: len(order)] = order
    return num_roots, len(order)


def entries_by_row(row, num_rows, indptr, entry):
    lists = [[i for i, r in enumerate(row) if r == v] for v in range(num_rows)]
    flat = [i for each in lists for i in each]
    entry[: len(flat)] = flat
    indptr[:] = [sum(map(len, lists[:v])) for v in range(num_rows + 1)]


def last_updates(source, target, first, mail, memory, vertex, own_root, other_root):
    size, done = len(source), []
    for i in reversed(range(size)):
        for side, v in enumerate((source[i], target[i])):
            if v not in done:
                memory[v], mail[v] = mail[v], first + i
                vertex[len(done)] = v
                own_root[len(done)] = i + side * size
                other_root[len(done)] = i + (1 - side) * size
                done.append(v)
    return len(done)
