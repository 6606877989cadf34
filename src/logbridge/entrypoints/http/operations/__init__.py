"""What there is to ask of the bridge: each operation with its parameters, answers and examples."""
