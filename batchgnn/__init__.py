"""BatchGNN: graph neural networks trained on CPU clusters, over MPI.

Importing this package starts neither MPI nor the JIT compiler.
"""

__version__ = "0.1.0"
