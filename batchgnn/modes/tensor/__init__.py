"""Mode tensor: columns dealt over the ranks."""
