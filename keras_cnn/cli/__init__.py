"""What each program at the top level does with its arguments: one module a program, each with `main(arguments)`."""
