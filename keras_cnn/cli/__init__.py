"""The command lines of the programs at the top level: one module per program, each with `main(arguments)`."""
