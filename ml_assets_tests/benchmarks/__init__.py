"""How fast and how large it is, as figures that one run measures: ``python -m ml_assets_tests.benchmarks [NAME]``.

No test looks at time; what README says of it comes from here, with machine and command.
"""
