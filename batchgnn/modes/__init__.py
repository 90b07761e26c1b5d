"""Training modes: when things happen."""
