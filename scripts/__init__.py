"""Commands around the product: run the local stack, install, bundle, mint a token."""
