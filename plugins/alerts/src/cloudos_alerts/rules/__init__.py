"""What a rule is: conditions, durations, its state in memory and the metrics it may name."""
