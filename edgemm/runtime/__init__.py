"""What is known now, and what runs next. Never imports torch, modeling or exporting."""
