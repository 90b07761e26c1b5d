"""What is learned: seeds, loss, scores."""
