"""What is asked, in words: phrases in English and Chinese, drawn from a grammar. Knows nothing of images, sound or models."""
