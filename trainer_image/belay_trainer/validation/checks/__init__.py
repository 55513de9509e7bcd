"""One file per kind of gate; see `validation.check.Check`. The kinds themselves are `belay_api.gates.Gate`'s."""
