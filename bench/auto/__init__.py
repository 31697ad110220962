"""Settings that find themselves: by rule, by prediction and by measurement. Each writes a plan and calls a sweep."""
