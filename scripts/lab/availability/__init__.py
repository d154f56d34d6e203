"""What docs/scaling.md claims beyond one machine, each claim shown by a program of its own."""
