"""The views of a network, drawn: what to look at, the views by name, and the files that they leave."""
