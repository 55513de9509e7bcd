"""RLTrainingJob: what runs its seeds, and what came of them."""
