"""What a mode will cost on P ranks, from the manifest alone: memory, bytes, rounds, seconds."""
