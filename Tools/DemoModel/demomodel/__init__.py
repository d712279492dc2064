"""Gristmill's demo model: a small, really trained AVG-LLaVA and the generated pictures it learns from."""
