"""The REST API: exact answers from the state and the store, errors as problem details."""
