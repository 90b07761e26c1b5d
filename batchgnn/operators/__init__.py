"""Graph operators: where a layer's neighbours live."""
