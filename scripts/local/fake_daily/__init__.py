"""A stand-in for Daily.co on this machine: its REST API, its faults, and a working video call."""
