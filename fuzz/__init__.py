"""Coverage-guided fuzzing of the entrances: `make fuzz`. See docs/security-proof.md."""
