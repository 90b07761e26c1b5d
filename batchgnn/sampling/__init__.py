"""What modes over samples share: drawing neighbours, fetching rows, keeping inputs."""
