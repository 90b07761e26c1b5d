"""Graph stores cut into shards."""
