"""The table of cached rows as a dictionary; functions return their result."""


def enter_rows(ids):
    return {int(ident): row for row, ident in enumerate(ids)}


def redirect_rows(ids, owner, local_row, me, first_cached, table):
    """(owner, local row) of each id, where the table of `enter_rows` has a copy of it: ours."""
    far = [o != me and int(i) in table for i, o in zip(ids, owner, strict=True)]
    return [
        (me, first_cached + table[int(i)]) if copied else (o, row)
        for i, o, row, copied in zip(ids, owner, local_row, far, strict=True)
    ]
