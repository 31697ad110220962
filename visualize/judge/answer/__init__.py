"""The answer in words: what to do now, on which evidence, and the experiment that would settle the rest."""
