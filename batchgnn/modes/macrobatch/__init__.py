"""Mode macrobatch: sampled minibatches, several prepared together."""
