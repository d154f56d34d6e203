"""Take the product apart, one change at a time, and see the tests notice."""
