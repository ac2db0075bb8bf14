"""The five reports: what each prints, and how each number is measured, computed or recomputed."""
