"""Two windows side by side: the gate, the monthly review, logs against a bill."""
