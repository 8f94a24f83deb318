"""Training: one loop that checkpoints, resumes and logs; then one readable story per file."""
