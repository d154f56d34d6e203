"""The whole product under faults: a history of every answer, and a checker of that history."""
