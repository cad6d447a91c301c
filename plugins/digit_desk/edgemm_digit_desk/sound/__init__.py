"""What the microphone hears: synthesized words, rooms, and windows of both. Knows nothing of images, text or models."""
