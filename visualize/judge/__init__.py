"""From numbers to verdicts, and from verdicts to an answer."""
