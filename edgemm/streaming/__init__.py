"""Threads and queues around the runtime: sources, sinks and what lies between."""
