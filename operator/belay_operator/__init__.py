"""The operator: watches the three kinds, decides, applies."""
