"""Whether what callers send is still what the model was trained on, counted beside the hot path."""
