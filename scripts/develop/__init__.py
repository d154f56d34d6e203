"""For developers: the contract, the pictures, other servers, the audit."""
