"""Values from files that somebody else wrote (JSON, TOML, arrays), strictly and within limits; nothing of what they mean."""
