"""RLTrainingJob: one Indexed Job whose indexes are seeds, and what came of it."""
