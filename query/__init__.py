"""The read side: opens an event log and answers questions about it."""
