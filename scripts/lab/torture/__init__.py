"""The whole product under faults, a history of every answer, and a checker that holds it true."""
