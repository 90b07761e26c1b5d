"""The most recent neighbours of vertices at times, and the states that a batch of events needs.

Events are numbered in the order of (time, row). A vertex's entries lie in that order, so what was
before a time are the first of them; which event is the first of a time is known beforehand.
"""

from numba import prange

from batchgnn.kernels.jit import kernel, parallel_kernel


@parallel_kernel
def recent_neighbors(indptr, other, event, vertex, before, out_other, out_event):
    """The last K entries of each root whose event is below a bound, newest first.

    indptr     int64 (N + 1,)  entries of each vertex
    other      integers (m,)   whom it met
    event      int64 (m,)      in which event; ascending within a vertex
    vertex     int64 (R,)      roots
    before     int64 (R,)      events below it happened strictly before the root's time
    out_other  int64 (R, K)    overwritten: -1 where there are fewer than K
    out_event  int64 (R, K)    overwritten: likewise

    O(log m + K) a root.
    """
    for r in prange(len(vertex)):
        begin, end = indptr[vertex[r]], indptr[vertex[r] + 1]
        low, high = begin, end
        while low < high:
            middle = (low + high) // 2
            if event[middle] < before[r]:
                low = middle + 1
            else:
                high = middle
        for k in range(out_other.shape[1]):
            place = low - 1 - k
            if place >= begin:
                out_other[r, k] = other[place]
                out_event[r, k] = event[place]
            else:
                out_other[r, k] = -1
                out_event[r, k] = -1


@kernel
def place_states(vertex, other, mail, slot, root_row, neighbor_row, member):
    """Rows of the states that roots and neighbours need; row 0 is that of all without mail.

    vertex        int64 (R,)    roots
    other         int64 (R, K)  their neighbours, -1 = none
    mail          int64 (N,)    last event that each vertex was told of, -1 = none
    slot          int32 (N,)    scratch, -1 everywhere, before and after
    root_row      int32 (R,)    overwritten
    neighbor_row  int32 (R, K)  overwritten: -1 = none
    member        int64 (at least 1 + R (K + 1),)  overwritten: the vertex of each row, of row 0 -1

    Returns (rows of roots, rows in all): the roots' come first.
    """
    member[0] = -1
    count = 1
    for r in range(len(vertex)):
        v = vertex[r]
        if mail[v] < 0:
            root_row[r] = 0
            continue
        if slot[v] < 0:
            slot[v] = count
            member[count] = v
            count += 1
        root_row[r] = slot[v]
    num_roots = count
    for r in range(other.shape[0]):
        for k in range(other.shape[1]):
            v = other[r, k]
            if v < 0:
                neighbor_row[r, k] = -1
                continue
            if mail[v] < 0:
                neighbor_row[r, k] = 0
                continue
            if slot[v] < 0:
                slot[v] = count
                member[count] = v
                count += 1
            neighbor_row[r, k] = slot[v]
    for row in range(1, count):
        slot[member[row]] = -1
    return num_roots, count


@kernel
def entries_by_row(row, num_rows, indptr, entry):
    """Where each row stands among `row`: a stable counting sort that leaves out negative ones.

    row     int32 (m,)
    indptr  int64 (num_rows + 1,)  overwritten
    entry   int64 (m,)             overwritten up to indptr[-1]: places, ascending within a row
    """
    indptr[:] = 0
    for i in range(len(row)):
        if row[i] >= 0:
            indptr[row[i] + 1] += 1
    for v in range(num_rows):
        indptr[v + 1] += indptr[v]
    for i in range(len(row)):
        if row[i] >= 0:
            entry[indptr[row[i]]] = i
            indptr[row[i]] += 1
    for v in range(num_rows, 0, -1):
        indptr[v] = indptr[v - 1]
    indptr[0] = 0


@kernel
def last_updates(source, target, first, mail, memory, vertex, own_root, other_root):
    """Of each vertex of a batch its last event: whose state becomes its memory, and its mail.

    source, target  integers (B,)   ends of the events first, first + 1, ...
    first           int
    mail, memory    int64 (N,)      updated: the last event of a vertex, and the one before that
                                    its memory knows of; -1 = none
    vertex          int64 (2 B,)    overwritten up to the returned count: distinct vertices
    own_root        int64 (2 B,)    likewise: the root, of sources and then targets, that is it
    other_root      int64 (2 B,)    likewise: the root that it met

    Returns how many vertices there are. An event of a vertex with itself is one update.
    """
    size, count = len(source), 0
    for i in range(size - 1, -1, -1):
        for side in range(2):
            v = source[i] if side == 0 else target[i]
            if mail[v] >= first:
                continue
            memory[v] = mail[v]
            mail[v] = first + i
            vertex[count] = v
            own_root[count] = i + side * size
            other_root[count] = i + (1 - side) * size
            count += 1
    return count
