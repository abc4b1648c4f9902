"""The kinds of units, as the gate's work: what is particular to a source, a split or view, a frame, a model."""
