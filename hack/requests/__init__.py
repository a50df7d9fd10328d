"""`make requests-with-cache` and `make requests-without-cache`: what the cache does for a slow model."""
