"""Fixtures that several rooms use."""

from __future__ import annotations
