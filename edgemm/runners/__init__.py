"""One compiled graph at a time: what runs it, and which variant of a bundle is chosen."""
