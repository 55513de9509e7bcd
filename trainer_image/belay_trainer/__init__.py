"""Everything that runs inside a training pod: one seed, from its configuration to a published artifact."""
