"""What the camera sees: handwritten digits, their strokes, the desk they lie on. Knows nothing of sound, text or models."""
