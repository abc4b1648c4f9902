"""The ten steps that lead from a branch to a publication."""
