"""The addresses under /api/v1: thin handlers, one file for each thing; what they do stands in queries and commands."""
