"""Commands on a run: train, evaluate, predict, export; its folder and its state."""
