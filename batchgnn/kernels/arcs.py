"""What must hold of the arcs of a shard, in one pass over them."""

from batchgnn.kernels.jit import kernel


@kernel
def check_arcs(indptr, indices, num_vertices, first, last, marks):
    """(whether all ids are those of vertices, whether rows ascend, distinct ids outside).

    indptr   int64 (n + 1,)     ascending, from 0 to m
    indices  integers (m,)      an id is one of 0 : num_vertices
    first, last                 outside is what is not in first : last
    marks    uint8 (at least num_vertices / 8,)  zero; overwritten: a bit for each id outside

    Equal neighbours ascend. O(m), one random access into `marks` for each arc to the outside.
    """
    in_range, ascending, num_outside = True, True, 0
    for v in range(len(indptr) - 1):
        before = 0
        for e in range(indptr[v], indptr[v + 1]):
            u = int(indices[e])
            if u < 0 or u >= num_vertices:
                in_range = False
                continue
            ascending &= u >= before
            before = u
            if u < first or u >= last:
                bit = 1 << (u & 7)
                if not marks[u >> 3] & bit:
                    marks[u >> 3] |= bit
                    num_outside += 1
    return in_range, ascending, num_outside
