"""One source of ten columns, as people declare them: for the gate's benchmark."""
