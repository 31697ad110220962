"""What a person sees before, while and after cells run."""
