"""The runtime: opens bundles and streams through them. Never imports torch, modeling or export."""
