"""Models. Their libraries are imported inside the functions, so that the graph loads without them."""
