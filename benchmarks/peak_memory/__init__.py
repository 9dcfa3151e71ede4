"""The most memory that programs take where their command line says nothing of it."""
