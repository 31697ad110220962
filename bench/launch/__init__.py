"""Where cells run: boards, one worker process a cell, locks and progress. Nothing here imports torch."""
