"""Operators on torch tensors."""

from __future__ import annotations
