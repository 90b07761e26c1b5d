"""What every part may use: errors, environment, sizes, random streams, progress, threads."""
