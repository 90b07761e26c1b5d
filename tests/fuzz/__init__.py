"""A seeded fuzzer: inputs varied or damaged in a known way, and what must become of each."""
