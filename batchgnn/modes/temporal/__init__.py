"""Training on a stream of events, in its order, with memories of vertices."""
