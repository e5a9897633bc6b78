"""What can be said of arms from a few seeds and a few hundred prompts, and how surely."""
