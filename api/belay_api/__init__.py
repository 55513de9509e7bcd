"""The vocabulary every room of Belay shares: resources, artifact, wire messages, names. Imports pydantic only."""
