"""What observes a run: counted collectives and phases, timelines, the pace of ranks, signals."""
