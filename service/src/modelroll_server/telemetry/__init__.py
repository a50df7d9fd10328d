"""What the server says about itself: metrics, logs, and what it learns of its own CPU share."""
