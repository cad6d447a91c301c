"""What this machine is, and which device profile it fits."""
