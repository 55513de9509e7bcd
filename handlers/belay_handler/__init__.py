"""Everything that runs inside a serving pod: fetching the artifact, the TorchServe handler and its configuration."""
