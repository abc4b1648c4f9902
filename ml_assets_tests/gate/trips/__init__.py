"""A small package of declarations for the tests of the gate: one of each kind and a second split and view."""
