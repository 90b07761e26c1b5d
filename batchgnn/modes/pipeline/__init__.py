"""Mode pipeline: layers on different ranks, chunks of the vertices one after another."""
