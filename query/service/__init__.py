"""The HTTP service over a log: read-only, on loopback by default, one module per group of routes."""
