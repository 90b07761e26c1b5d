"""The slow, obvious version of every kernel in batchgnn/kernels: same file, name and signature.

Loops and dense matrices in Python; arithmetic in float64 and in Python's own integers.
"""
