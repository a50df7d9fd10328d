"""What the operator tells of itself to a collector of traces."""
