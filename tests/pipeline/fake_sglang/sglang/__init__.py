"""Stands in for SGLang where its server is only started and ended; see launch_server."""
