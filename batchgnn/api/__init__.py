"""The Python interface: what `import batchgnn` offers to scripts and notebooks."""
