"""Communication: the only folder that imports mpi4py.

Importing it does not start MPI; `grid.start` does.
"""

import mpi4py

mpi4py.rc.initialize = False
