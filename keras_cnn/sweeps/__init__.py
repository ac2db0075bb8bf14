"""Many runs of one experiment with other settings: what to try, how to try it, and what came of it."""
