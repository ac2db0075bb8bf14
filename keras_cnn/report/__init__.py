"""The page about runs: their results, comparisons with published results, and findings."""
